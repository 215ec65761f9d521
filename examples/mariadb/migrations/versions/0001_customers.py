"""customers"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    customers = op.create_table(
        "customers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.String(200), nullable=False),
    )
    op.bulk_insert(customers, [{"email": "ana@example.com"}, {"email": "bo@example.com"}, {"email": "Ana@example.com"}])


def downgrade():
    op.drop_table("customers")

"""billing: invoices"""

import sqlalchemy as sa
from alembic import op

revision = "billing1"
down_revision = None
branch_labels = "billing"


def upgrade():
    op.create_table("invoices", sa.Column("id", sa.Integer, primary_key=True))


def downgrade():
    op.drop_table("invoices")

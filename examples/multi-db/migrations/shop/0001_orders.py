"""orders"""

import sqlalchemy as sa
from alembic import op

revision = "shop1"
down_revision = None


def upgrade():
    op.create_table(
        "orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("total", sa.Numeric(10, 2))
    )


def downgrade():
    op.drop_table("orders")

"""shop: when"""

import sqlalchemy as sa
from alembic import op

revision = "shop2"
down_revision = "shop1"
branch_labels = None


def upgrade():
    op.add_column("orders", sa.Column("placed", sa.DateTime))


def downgrade():
    op.drop_column("orders", "placed")

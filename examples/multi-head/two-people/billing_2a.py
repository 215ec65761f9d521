"""billing: paid"""

import sqlalchemy as sa
from alembic import op

revision = "billing2a"
down_revision = "billing1"


def upgrade():
    op.add_column("invoices", sa.Column("paid", sa.Boolean))


def downgrade():
    op.drop_column("invoices", "paid")

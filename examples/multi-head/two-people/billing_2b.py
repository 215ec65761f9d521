"""billing: due"""

import sqlalchemy as sa
from alembic import op

revision = "billing2b"
down_revision = "billing1"


def upgrade():
    op.add_column("invoices", sa.Column("due", sa.Boolean))


def downgrade():
    op.drop_column("invoices", "due")

"""balances in cents"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("accounts", sa.Column("cents", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE accounts SET cents = CAST(balance AS INTEGER) * 100")


def downgrade():
    op.drop_column("accounts", "cents")

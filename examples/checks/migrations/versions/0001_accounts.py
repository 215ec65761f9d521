"""accounts with three rows"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    accounts = op.create_table(
        "accounts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("balance", sa.Float, nullable=False),
    )
    rows = [("ana", 10.0), ("bo", 19.99), ("cy", 0.5)]
    op.bulk_insert(accounts, [{"owner": owner, "balance": balance} for owner, balance in rows])


def downgrade():
    op.drop_table("accounts")

"""No more NULL phones: filled with '' first. Batch mode: SQLite rebuilds the table.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE customers SET phone = '' WHERE phone IS NULL")
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("phone", existing_type=sa.String(40), nullable=False, server_default="")


def downgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("phone", existing_type=sa.String(40), nullable=True, server_default=None)
    op.execute("UPDATE customers SET phone = NULL WHERE phone = ''")

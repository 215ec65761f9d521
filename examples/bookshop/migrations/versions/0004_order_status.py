"""An order has a status: an enum, on SQLite a text with a CHECK.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STATUSES = ("placed", "paid", "shipped", "cancelled")


def upgrade() -> None:
    # PostgreSQL wants the type before the column; elsewhere `create` does nothing
    status = sa.Enum(*STATUSES, name="order_status", create_constraint=True)
    status.create(op.get_bind(), checkfirst=True)
    with op.batch_alter_table("orders") as orders:
        orders.add_column(sa.Column("status", status, nullable=False, server_default="placed"))
    # whatever is older than the shop's new warehouse has left it long ago
    op.execute("UPDATE orders SET status = 'shipped' WHERE placed_at < '2026-01-01 00:00:00'")


def downgrade() -> None:
    status = sa.Enum(*STATUSES, name="order_status", create_constraint=True)
    with op.batch_alter_table("orders") as orders:
        # the type tells batch mode that the CHECK goes with the column
        orders.drop_column("status", existing_type=status)
    status.drop(op.get_bind(), checkfirst=True)

"""Indexes for a customer's orders and a book's sales.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])
    op.create_index("ix_order_lines_order_id", "order_lines", ["order_id"])
    op.create_index("ix_order_lines_book_id", "order_lines", ["book_id"])


def downgrade() -> None:
    op.drop_index("ix_order_lines_book_id", "order_lines")
    op.drop_index("ix_order_lines_order_id", "order_lines")
    op.drop_index("ix_orders_customer_id", "orders")

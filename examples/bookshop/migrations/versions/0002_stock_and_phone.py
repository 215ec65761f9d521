"""Stock and date of books, phone of customers. The seed goes in here.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("books", sa.Column("published_on", sa.Date(), nullable=True))
    op.add_column("books", sa.Column("stock", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("customers", sa.Column("phone", sa.String(40), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.drop_column("phone")
    with op.batch_alter_table("books") as books:
        books.drop_column("stock")
        books.drop_column("published_on")

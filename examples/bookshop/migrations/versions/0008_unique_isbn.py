"""No two books share an ISBN.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("books") as books:
        books.create_unique_constraint("uq_books_isbn", ["isbn"])


def downgrade() -> None:
    with op.batch_alter_table("books") as books:
        books.drop_constraint("uq_books_isbn", type_="unique")

"""Gift cards for everybody. Passes on an empty database, fails half-way on a real one.

Revision ID: 0009a
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009a"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gift_cards",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("customer_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(220), nullable=False),
        sa.Column("cents", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name="fk_gift_cards_customer_id"),
        sa.UniqueConstraint("code", name="uq_gift_cards_code"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute(
        "INSERT INTO gift_cards (customer_id, code, cents) SELECT id, 'WELCOME-' || id, 500 FROM customers"
    )
    # the mistake: last names are not unique
    op.execute(
        "INSERT INTO gift_cards (customer_id, code, cents) "
        "SELECT id, 'THANKS-' || upper(last_name), 1000 FROM customers"
    )


def downgrade() -> None:
    op.drop_table("gift_cards")

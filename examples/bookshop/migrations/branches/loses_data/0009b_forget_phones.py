"""Phones go away, with all that customers have entered. The way back brings an empty column.

Revision ID: 0009b
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009b"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.drop_column("phone")


def downgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.add_column(sa.Column("phone", sa.String(40), nullable=False, server_default=""))

"""orders in the one, visits in the other"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade(engine_name):
    globals()[f"upgrade_{engine_name}"]()


def downgrade(engine_name):
    globals()[f"downgrade_{engine_name}"]()


def upgrade_engine1():
    op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True))


def downgrade_engine1():
    op.drop_table("orders")


def upgrade_engine2():
    op.create_table("visits", sa.Column("day", sa.Date, primary_key=True))


def downgrade_engine2():
    op.drop_table("visits")

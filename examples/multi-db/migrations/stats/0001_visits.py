"""visits"""

import sqlalchemy as sa
from alembic import op

revision = "stats1"
down_revision = None


def upgrade():
    op.create_table("visits", sa.Column("day", sa.Date, primary_key=True), sa.Column("pages", sa.Integer))


def downgrade():
    op.drop_table("visits")

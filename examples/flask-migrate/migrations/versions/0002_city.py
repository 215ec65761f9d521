"""city"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    with op.batch_alter_table("member") as batch:
        batch.add_column(sa.Column("city", sa.String))


def downgrade():
    with op.batch_alter_table("member") as batch:
        batch.drop_column("city")

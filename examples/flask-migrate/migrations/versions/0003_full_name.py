"""full name: as `flask db migrate` writes it where a column of a model got another name"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.batch_alter_table("member") as batch:
        batch.add_column(sa.Column("full_name", sa.String))
        batch.drop_column("name")


def downgrade():
    with op.batch_alter_table("member") as batch:
        batch.add_column(sa.Column("name", sa.String))
        batch.drop_column("full_name")

"""full name: the column is renamed, and keeps what it holds"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.batch_alter_table("member") as batch:
        batch.alter_column("name", new_column_name="full_name")


def downgrade():
    with op.batch_alter_table("member") as batch:
        batch.alter_column("full_name", new_column_name="name")

"""a column for the address in small letters"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("users", sa.Column("email_lower", sa.Text))


def downgrade() -> None:
    op.drop_column("users", "email_lower")

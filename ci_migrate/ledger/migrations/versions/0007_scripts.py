"""What scripts do, by their texts: a text that was only formatted anew is no edited one."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # DDL commits by itself on MySQL: whoever was killed in here may have made it
    if not sa.inspect(op.get_bind()).has_table("ci_migrate_scripts"):
        op.create_table(
            "ci_migrate_scripts",
            sa.Column("sha256", sa.String(64), primary_key=True),
            sa.Column("code", sa.String(64), nullable=False),
        )

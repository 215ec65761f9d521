"""fill it, in batches"""

from alembic import op

from ci_migrate.backfill import backfill, forget_backfill

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        backfill(
            op.get_bind(),
            "users_email_lower",
            "UPDATE users SET email_lower = lower(email) WHERE {batch}",
            table="users",
        )


def downgrade() -> None:
    forget_backfill(op.get_bind(), "users_email_lower")

"""one address, one user: only where all rows are filled"""

from alembic import op

from ci_migrate.backfill import requires_backfill

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    requires_backfill(op.get_bind(), "users_email_lower")
    op.create_index("users_email_lower_key", "users", ["email_lower"], unique=True)


def downgrade() -> None:
    op.drop_index("users_email_lower_key", "users")

"""Protection: whether the target is protected, who may approve, which signed tokens were seen and used."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


TABLES = ("ci_migrate_protection", "ci_migrate_signers", "ci_migrate_nonces")


def upgrade() -> None:
    if op.get_bind().dialect.name == "mysql":
        # DDL commits by itself there: whoever was killed in here left tables that nobody has used
        for name in TABLES:
            op.execute(f"DROP TABLE IF EXISTS {name}")
    protection = op.create_table(
        "ci_migrate_protection",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("protected", sa.Boolean, nullable=False),
        sa.Column("since", sa.String(32)),
        sa.Column("protected_by", sa.Text),
        sa.Column("min_approvals", sa.Integer, nullable=False),
        sa.Column("forbid_self_approval", sa.Boolean, nullable=False),
        sa.Column("frozen", sa.Text),
    )
    op.create_table(
        "ci_migrate_signers",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("emergency", sa.Boolean, nullable=False),
        sa.Column("added", sa.String(32), nullable=False),
        sa.Column("added_by", sa.Text, nullable=False),
        sa.Column("revoked", sa.String(32)),
    )
    op.create_table(
        "ci_migrate_nonces",
        sa.Column("approval_id", sa.String(32), primary_key=True),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("approved_by", sa.Text, nullable=False),
        sa.Column("emergency", sa.Boolean, nullable=False),
        sa.Column("seen", sa.String(32), nullable=False),
        sa.Column("claimed_by", sa.String(255)),
        sa.Column("claimed", sa.String(32)),
        sa.Column("revoked", sa.String(32)),
    )
    row = {"id": 1, "protected": False, "min_approvals": 1, "forbid_self_approval": False}
    op.bulk_insert(protection, [row])

"""The same over HTTP: the keys of its callers, and the jobs that they started."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


TABLES = ("ci_migrate_keys", "ci_migrate_jobs")


def upgrade() -> None:
    if op.get_bind().dialect.name == "mysql":
        # DDL commits by itself there: whoever was killed in here left tables that nobody has used
        for name in TABLES:
            op.execute(f"DROP TABLE IF EXISTS {name}")
    op.create_table(
        "ci_migrate_keys",
        sa.Column("key_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("expires", sa.String(32)),
        sa.Column("revoked", sa.String(32)),
    )
    op.create_table(
        "ci_migrate_jobs",
        sa.Column("job_id", sa.String(64), primary_key=True),
        sa.Column("target", sa.String(255), nullable=False, index=True),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("finished", sa.String(32)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("stages", sa.Text, nullable=False),
    )
    # each call over HTTP is a record: those of one kind must be found without reading them all
    name = op.f("ix_ci_migrate_audit_kind")
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes("ci_migrate_audit")}:
        op.create_index(name, "ci_migrate_audit", ["kind"])

"""Fleet runs: which databases they are of, and how far each is."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # DDL commits by itself on MySQL: whoever was killed in here may have made the first, or both
    there = sa.inspect(op.get_bind())
    if not there.has_table("ci_migrate_fleet_runs"):
        op.create_table(
            "ci_migrate_fleet_runs",
            sa.Column("fleet_run", sa.String(64), primary_key=True),
            sa.Column("sequence", sa.Integer(), nullable=False),
            sa.Column("fleet", sa.String(255), nullable=False),
            sa.Column("shard", sa.String(32), nullable=False),
            sa.Column("started", sa.String(32), nullable=False),
            sa.Column("finished", sa.String(32)),
            sa.Column("exit_code", sa.Integer()),
            sa.Column("stopped", sa.Text(), nullable=False),
            sa.Column("destination", sa.Text(), nullable=False),
            sa.Column("actor", sa.Text(), nullable=False),
            sa.Column("host", sa.Text(), nullable=False),
            sa.Column("pid", sa.Integer(), nullable=False),
        )
        op.create_index("ix_ci_migrate_fleet_runs_order", "ci_migrate_fleet_runs", ["fleet", "sequence"])
    if not there.has_table("ci_migrate_fleet_targets"):
        op.create_table(
            "ci_migrate_fleet_targets",
            sa.Column("fleet_run", sa.String(64), primary_key=True),
            sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
            sa.Column("name", sa.String(255), nullable=False),
            sa.Column("status", sa.String(32), nullable=False),
            sa.Column("record", sa.Text(), nullable=False),
        )

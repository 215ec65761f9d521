"""The ledger: identity, runs, stage results, journal, audit trail, approvals."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D103

import uuid

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _identity()
    _runs()
    _journal()
    _audit()
    _approvals()

    _commits()


# MySQL's BLOB ends at 64 KiB; a plan of a long history does not
_BYTES = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")


def _commits() -> None:
    op.create_table(
        "ci_migrate_commits",
        sa.Column("run_id", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    )


def _identity() -> None:
    table = op.create_table(
        "ci_migrate_identity",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("facts", sa.Text),
    )
    op.bulk_insert(table, [{"id": 1, "uuid": str(uuid.uuid4()), "facts": None}])


def _runs() -> None:
    op.create_table(
        "ci_migrate_runs",
        sa.Column("run_id", sa.String(255), primary_key=True),
        sa.Column("target", sa.String(255), nullable=False, index=True),
        sa.Column("command", sa.Text, nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("finished", sa.String(32)),
        sa.Column("exit_code", sa.Integer),
        sa.Column("state", sa.Text),
        sa.Column("phase", sa.String(32), nullable=False),
        sa.Column("needs_repair", sa.Boolean, nullable=False),
        sa.Column("plan", _BYTES),
        sa.Column("plan_digest", sa.String(64), index=True),
        sa.Column("before", _BYTES),
        sa.Column("backup_id", sa.Text),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
    )
    op.create_table(
        "ci_migrate_stages",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(255), nullable=False, index=True),
        sa.Column("stage", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
        sa.Column("result", _BYTES, nullable=False),
    )


def _journal() -> None:
    op.create_table(
        "ci_migrate_journal",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("run_id", sa.String(255), nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("context", sa.Integer, nullable=False),
        sa.Column("revision", sa.Text),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("prefix", sa.String(64), nullable=False),
        sa.Column("rows", sa.Integer),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )


def _audit() -> None:
    op.create_table(
        "ci_migrate_audit",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("run_id", sa.String(255)),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    head = op.create_table(
        "ci_migrate_audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "records": 0, "sha256": "0" * 64}])


def _approvals() -> None:
    op.create_table(
        "ci_migrate_approvals",
        sa.Column("approval_id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("token_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column("target_uuid", sa.String(36), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("plan_digest", sa.String(64), nullable=False),
        sa.Column("direction", sa.String(16), nullable=False),
        sa.Column("from_heads", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("plan", _BYTES, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("approved_by", sa.Text, nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("expires", sa.String(32), nullable=False),
        sa.Column("claimed_by", sa.String(255)),
        sa.Column("claimed", sa.String(32)),
        sa.Column("revoked", sa.String(32)),
    )
    op.create_table(
        "ci_migrate_reservations",
        sa.Column("approval_id", sa.String(32), primary_key=True),
        sa.Column("run_id", sa.String(255), primary_key=True),
        sa.Column("at", sa.String(32), nullable=False),
    )

"""The tables of the ledger, their two column types, and the database's clock.

A new ledger is made of them, an older one is brought here by `migrations/`; a test holds the two equal. Times are
text, ISO 8601 in UTC with microseconds: the same on each engine, sortable, and exactly what the audit chain hashes.
"""

import sys
import uuid
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator

from ci_migrate.model import Approvable, Fingerprint, Plan, StageResult, decode_approvable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEDGER_REVISION = "0008"
"""The newest revision in `migrations/versions`, known here so that opening a ledger needs no Alembic."""

FORMER_TABLES = ("ci_migrate_approvals", "ci_migrate_nonces")
"""Of older revisions: in their place is `tokens`."""

VERSION_TABLE = "ci_migrate_version"

T = TypeVar("T")


def utc_text(value: datetime) -> str:
    """A time as the ledger writes it."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


class Utc(TypeDecorator[datetime]):
    """A time, kept as text."""

    impl = String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else utc_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else datetime.fromisoformat(value)


def printable(value: Any) -> Any:
    """The same value without lone surrogates, which no JSON can hold (file names and drivers have them)."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [printable(item) for item in value]
    return value


class Packed(TypeDecorator[T], Generic[T]):
    """A noun as compressed JSON: the evidence of a thousand revisions is several MB of repetitive text."""

    # MySQL's BLOB ends at 64 KiB
    impl = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
    cache_ok = True

    def __init__(self, kind: type[T]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: T | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        """To the database."""
        if value is None:
            return None
        try:
            data = msgspec.json.encode(value)
        except UnicodeEncodeError:
            data = msgspec.json.encode(printable(msgspec.to_builtins(value)))
        return zstd.compress(data)

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> T | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        return msgspec.json.decode(zstd.decompress(value), type=self.kind, dec_hook=decode_approvable)


metadata = MetaData()

version_table = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
"""Alembic's, as it makes it itself."""

identity = Table(
    "ci_migrate_identity",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("uuid", String(36), nullable=False),
    Column("facts", Text),  # Identity as JSON, once it is pinned
)

databases = Table(
    "ci_migrate_databases",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("identity_key", String(255), nullable=False, unique=True),  # `Identity.key`
    Column("name_key", String(255), nullable=False),  # `Identity.name_key`
    Column("database_id", String(36), nullable=False),
    Column("since", Utc, nullable=False),
)
"""The keys that each database had. One that is restored by a rename, moved or failed over has several."""

runs = Table(
    "ci_migrate_runs",
    metadata,
    Column("run_id", String(255), primary_key=True),
    Column("sequence", Integer),  # of the audit record that says that it started
    Column("database_id", String(36)),
    Column("target", String(255), nullable=False),  # a label, for people
    Column("command", Text, nullable=False),
    Column("started", Utc, nullable=False),
    Column("finished", Utc),
    Column("exit_code", Integer),
    Column("state", Text),
    Column("phase", String(32), nullable=False),
    Column("needs_repair", Boolean, nullable=False),
    Column("plan", Packed(Plan)),
    Column("plan_digest", String(64)),
    Column("before", Packed(Fingerprint)),
    Column("backup_id", Text),
    Column("pid", Integer, nullable=False),
    Column("host", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("changed", Boolean),  # whether it has a plan and left the target changed, or nobody knows
    Index("ix_ci_migrate_runs_sequence", "sequence", unique=True),
    Index("ix_ci_migrate_runs_history", "database_id", "sequence"),
    Index("ix_ci_migrate_runs_changed", "database_id", "changed", "sequence"),
    Index("ix_ci_migrate_runs_repair", "database_id", "needs_repair", "sequence"),
    Index("ix_ci_migrate_runs_phase", "database_id", "phase", "sequence"),
    Index("ix_ci_migrate_runs_plan", "database_id", "plan_digest", "sequence"),
)

applied = Table(
    "ci_migrate_applied",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),  # the run's
    Column("revision", String(255), primary_key=True),
    Column("database_id", String(36)),
    Column("upgrade", Boolean, nullable=False),
    Column("migrated", Boolean, nullable=False),
    Column("sha256", String(64), nullable=False),
    Index("ix_ci_migrate_applied_revision", "database_id", "migrated", "revision", "sequence"),
)
"""The revisions of each run's plan. `migrated`: the run ended at the plan's destination."""

scripts = Table(
    "ci_migrate_scripts",
    metadata,
    Column("sha256", String(64), primary_key=True),  # of its text
    Column("code", String(64), nullable=False),  # of what it does
)

rehearsals = Table(
    "ci_migrate_rehearsals",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("database_id", String(36)),
    Column("run_id", String(255), nullable=False),
    Column("backup_id", String(255)),  # what was restored for it
    Column("plan_digest", String(64)),
    Column("passed", Boolean, nullable=False),
    Column("proven", Boolean, nullable=False),  # the restored copy was compared, and equal
    Column("recorded", Utc, nullable=False),
    Index("ix_ci_migrate_rehearsals_backup", "database_id", "backup_id", "proven"),
    Index("ix_ci_migrate_rehearsals_plan", "database_id", "plan_digest", "sequence"),
)
"""The dry runs that measured something: which backup each proved, and which plan it is evidence for."""

stages = Table(
    "ci_migrate_stages",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("run_id", String(255), nullable=False, index=True),
    Column("stage", String(64), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("recorded", Utc, nullable=False),
    Column("result", Packed(StageResult), nullable=False),
)

journal = Table(
    "ci_migrate_journal",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("run_id", String(255), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("position", Integer, nullable=False),
    Column("context", Integer, nullable=False),
    Column("revision", Text),
    Column("digest", String(64), nullable=False),
    Column("prefix", String(64), nullable=False),
    Column("rows", Integer),
    Column("note", Text, nullable=False),
    Column("at", Utc, nullable=False),
)

audit = Table(
    "ci_migrate_audit",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),  # text, since the very text is hashed
    Column("kind", String(64), nullable=False, index=True),
    Column("run_id", String(255)),
    Column("facts", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
)

audit_head = Table(
    "ci_migrate_audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("records", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
)

tokens = Table(
    "ci_migrate_tokens",
    metadata,
    Column("approval_id", String(32), primary_key=True),  # of a signed token: its nonce
    Column("kind", String(16), nullable=False),  # a TokenKind
    Column("target_uuid", String(36), nullable=False),
    Column("target", Text, nullable=False),
    Column("plan_digest", String(64), nullable=False),
    Column("direction", String(16), nullable=False),  # a Purpose
    Column("from_heads", Text, nullable=False),  # JSON
    Column("destination", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("approved_by", Text, nullable=False),  # JSON
    Column("created", Utc, nullable=False),
    Column("expires", Utc, nullable=False),
    # confirmation tokens alone: NULL never equals the hash of a token
    Column("token_sha256", String(64), unique=True),
    # whole, so that a refusal can name what differs; msgspec takes a Protocol
    Column("plan", Packed(Approvable)),  # type: ignore[type-abstract]
    # signed tokens alone
    Column("payload", Text),  # what was signed
    Column("emergency", Boolean),
    Column("claimed_by", String(255)),
    Column("claimed", Utc),
    Column("revoked", Utc),
    Column("sequence", Integer),  # of the audit record that told of it first
)

reservations = Table(
    "ci_migrate_reservations",
    metadata,
    Column("approval_id", String(32), primary_key=True),
    Column("run_id", String(255), primary_key=True),
    Column("at", Utc, nullable=False),
)

commits = Table(
    "ci_migrate_commits",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
)
"""MySQL and MariaDB: written by a migration's own transaction, so that a row is there if, and only if, it committed."""

protection = Table(
    "ci_migrate_protection",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("protected", Boolean, nullable=False),
    Column("since", Utc),
    Column("protected_by", Text),
    Column("min_approvals", Integer, nullable=False),
    Column("forbid_self_approval", Boolean, nullable=False),
    Column("frozen", Text),  # why; NULL where it is not
)

signers = Table(
    "ci_migrate_signers",
    metadata,
    Column("sequence", Integer, primary_key=True),
    Column("line", Text, nullable=False),  # of OpenSSH's allowed-signers format
    Column("emergency", Boolean, nullable=False),
    Column("added", Utc, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("revoked", Utc),
)

keys = Table(
    "ci_migrate_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("target", String(255), nullable=False),  # `state` may give several targets one ledger
    Column("sha256", String(64), nullable=False),
    Column("created", Utc, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", Utc),
    Column("revoked", Utc),
    Column("sequence", Integer),  # of the audit record that says that it was made
)

jobs = Table(
    "ci_migrate_jobs",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("target", String(255), nullable=False),
    Column("action", String(32), nullable=False),
    Column("actor", Text, nullable=False),
    Column("started", Utc, nullable=False),
    Column("finished", Utc),
    Column("status", String(16), nullable=False),
    Column("exit_code", Integer),
    Column("answer", Text, nullable=False),  # JSON; never a token
    Column("stages", Text, nullable=False),  # JSON
    Column("sequence", Integer),  # of the audit record that says that it started
    Index("ix_ci_migrate_jobs_order", "target", "sequence"),
)


fleet_runs = Table(
    "ci_migrate_fleet_runs",
    metadata,
    Column("fleet_run", String(64), primary_key=True),
    Column("sequence", Integer, nullable=False),  # of the audit record that says that it started
    Column("fleet", String(255), nullable=False),
    Column("shard", String(32), nullable=False),  # `2/5`, "" for all of it
    Column("started", Utc, nullable=False),
    Column("finished", Utc),
    Column("exit_code", Integer),
    Column("stopped", Text, nullable=False),  # by what rule, in words; "" for none
    Column("destination", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Index("ix_ci_migrate_fleet_runs_order", "fleet", "sequence"),
)

fleet_targets = Table(
    "ci_migrate_fleet_targets",
    metadata,
    Column("fleet_run", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),  # in the order of the list
    Column("name", String(255), nullable=False),  # no key: MySQL compares names without their case
    Column("status", String(32), nullable=False),
    Column("record", Text, nullable=False),  # JSON; never a URL
)


def first_rows() -> list[tuple[Table, dict[str, Any]]]:
    """What a new ledger holds: an identity of its own, an empty audit trail, nothing that protects."""
    return [
        (identity, {"id": 1, "uuid": str(uuid.uuid4()), "facts": None}),
        (audit_head, {"id": 1, "records": 0, "sha256": "0" * 64}),
        (protection, {"id": 1, "protected": False, "min_approvals": 1, "forbid_self_approval": False}),
    ]


# clock_timestamp, not now(): that one stands still in a transaction, and expiry is judged after waiting for a lock
_CLOCKS = {
    "sqlite": text("SELECT strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')"),
    "postgresql": text("SELECT clock_timestamp()"),
    "mysql": text("SELECT CONCAT(UTC_TIMESTAMP(6), '+00:00')"),
}


def clock(connection: Connection) -> datetime:
    """The database's own time, UTC: what expiry is judged by."""
    value = connection.execute(_CLOCKS[connection.dialect.name]).scalar_one()
    return datetime.fromisoformat(str(value)).astimezone(UTC)

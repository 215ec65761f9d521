"""History by database: runs belong to a database and have a growing sequence; indexes for what is asked of them."""

# Written out, never read from tables.py: a revision says what was true when it was written.
# ruff: noqa: D101, D103

import hashlib
import sys
from collections.abc import Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


TABLES = ("ci_migrate_databases", "ci_migrate_applied", "ci_migrate_rehearsals")
PAGE = 500
"""Rows that are unpacked at a time: a plan or the evidence of a long history has megabytes."""

runs = sa.table(
    "ci_migrate_runs",
    *map(sa.column, ("run_id", "sequence", "database_id", "target", "started", "state", "plan", "changed")),
)
databases = sa.table(
    "ci_migrate_databases", *map(sa.column, ("identity_key", "name_key", "database_id", "since"))
)
applied = sa.table(
    "ci_migrate_applied",
    *map(sa.column, ("sequence", "revision", "database_id", "migrated", "sha256")),
    sa.column("upgrade", sa.Boolean),
)
rehearsals = sa.table(
    "ci_migrate_rehearsals",
    *map(sa.column, ("sequence", "database_id", "run_id", "backup_id", "recorded")),
    sa.column("passed", sa.Boolean),
    sa.column("proven", sa.Boolean),
)
stages = sa.table(
    "ci_migrate_stages", *map(sa.column, ("sequence", "run_id", "stage", "outcome", "recorded", "result"))
)
audit = sa.table("ci_migrate_audit", *map(sa.column, ("sequence", "at", "kind", "run_id", "facts")))
identity = sa.table("ci_migrate_identity", *map(sa.column, ("uuid", "facts")))


class Identity(msgspec.Struct):
    dialect: str
    facts: dict[str, str]


class Revision(msgspec.Struct):
    id: str
    sha256: str


class Plan(msgspec.Struct):
    identity: Identity
    direction: str
    revisions: list[Revision]


class Pinned(msgspec.Struct):
    identity: Identity


class Backup(msgspec.Struct, rename="camel"):
    backup_id: str


class Evidence(msgspec.Struct):
    proven: bool = False


class Stage(msgspec.Struct):
    backup: Backup | None = None
    evidence: Evidence | None = None


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "mysql":
        # DDL commits by itself there: whoever was killed in here left tables that nobody has used
        for name in TABLES:
            op.execute(f"DROP TABLE IF EXISTS {name}")
    _tables()
    _columns(connection)
    _sequences(connection)
    names = _plans(connection)
    _databases(connection, names)
    _rehearsals(connection)
    _indexes(connection)


# --------------------------------------------------------------------------- the schema


def _tables() -> None:
    op.create_table(
        "ci_migrate_databases",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("identity_key", sa.String(255), nullable=False, unique=True),
        sa.Column("name_key", sa.String(255), nullable=False),
        sa.Column("database_id", sa.String(36), nullable=False),
        sa.Column("since", sa.String(32), nullable=False),
    )
    op.create_table(
        "ci_migrate_applied",
        sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.String(255), primary_key=True),
        sa.Column("database_id", sa.String(36)),
        sa.Column("upgrade", sa.Boolean, nullable=False),
        sa.Column("migrated", sa.Boolean, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
    )
    op.create_table(
        "ci_migrate_rehearsals",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("database_id", sa.String(36)),
        sa.Column("run_id", sa.String(255), nullable=False),
        sa.Column("backup_id", sa.String(255)),
        sa.Column("plan_digest", sa.String(64)),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("proven", sa.Boolean, nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
    )


def _columns(connection: sa.Connection) -> None:
    there = {column["name"] for column in sa.inspect(connection).get_columns("ci_migrate_runs")}
    new = (
        sa.Column("sequence", sa.Integer),
        sa.Column("database_id", sa.String(36)),
        sa.Column("changed", sa.Boolean),
    )
    for column in new:
        if column.name not in there:
            op.add_column("ci_migrate_runs", column)


def _indexes(connection: sa.Connection) -> None:
    """Made last: what has no index yet is filled faster."""
    for name in ("ix_ci_migrate_runs_target", "ix_ci_migrate_runs_plan_digest"):
        if name in _names(connection, "ci_migrate_runs"):
            op.drop_index(name, "ci_migrate_runs")
    if "ix_ci_migrate_audit_run_id" in _names(connection, "ci_migrate_audit"):
        op.drop_index("ix_ci_migrate_audit_run_id", "ci_migrate_audit")
    of_runs = "ci_migrate_runs"
    for name, table, columns in (
        ("history", of_runs, ["sequence"]),
        ("changed", of_runs, ["changed", "sequence"]),
        ("repair", of_runs, ["needs_repair", "sequence"]),
        ("phase", of_runs, ["phase", "sequence"]),
        ("plan", of_runs, ["plan_digest", "sequence"]),
        ("revision", "ci_migrate_applied", ["migrated", "revision", "sequence"]),
        ("backup", "ci_migrate_rehearsals", ["backup_id", "proven"]),
        ("plan", "ci_migrate_rehearsals", ["plan_digest", "sequence"]),
    ):
        _index(connection, f"ix_{table}_{name}", table, ["database_id", *columns])


def _index(
    connection: sa.Connection, name: str, table: str, columns: list[str], *, unique: bool = False
) -> None:
    if name not in _names(connection, table):
        op.create_index(name, table, columns, unique=unique)


def _names(connection: sa.Connection, table: str) -> set[str | None]:
    return {index["name"] for index in sa.inspect(connection).get_indexes(table)}


# --------------------------------------------------------------------------- what is there


def _sequences(connection: sa.Connection) -> None:
    """The order in which the audit trail says that runs started: clocks jump, the trail does not."""
    _index(connection, "ix_ci_migrate_audit_run_id", "ci_migrate_audit", ["run_id"])
    first = (
        sa.select(sa.func.min(audit.c.sequence))
        .where(audit.c.run_id == runs.c.run_id, audit.c.kind == "run started")
        .scalar_subquery()
    )
    unchanged = sa.or_(
        runs.c.plan.is_(None), runs.c.state.is_(None), runs.c.state.in_(("untouched", "as before, proved"))
    )
    changed = sa.case((unchanged, sa.false()), else_=sa.true())
    connection.execute(sa.update(runs).values(sequence=first, changed=changed))
    unheard = connection.execute(
        sa.select(runs.c.run_id).where(runs.c.sequence.is_(None)).order_by(runs.c.started.desc())
    ).scalars()
    for number, run_id in enumerate(unheard.all(), 1):
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(sequence=-number))
    _index(connection, "ix_ci_migrate_runs_sequence", "ci_migrate_runs", ["sequence"], unique=True)


def _plans(connection: sa.Connection) -> dict[str, dict[str, Identity]]:
    """Write down which revisions each run's plan has; returns the databases of these plans by the targets' names."""
    names: dict[str, dict[str, Identity]] = {}
    decoder = msgspec.json.Decoder(Plan)
    for page in _pages(
        connection, runs, (runs.c.target, runs.c.state, runs.c.plan), runs.c.plan.is_not(None)
    ):
        rows = []
        for row in page:
            plan = decoder.decode(zstd.decompress(row.plan))
            names.setdefault(row.target, {}).setdefault(_key(plan.identity), plan.identity)
            fields = {
                "sequence": row.sequence,
                "upgrade": plan.direction == "upgrade",
                "migrated": row.state == "migrated",
            }
            rows += [
                {**fields, "revision": _shortened(script.id), "sha256": script.sha256}
                for script in plan.revisions
            ]
        if rows:
            connection.execute(sa.insert(applied), rows)
    return names


def _databases(connection: sa.Connection, names: dict[str, dict[str, Identity]]) -> None:
    """Say whose each run is.

    The ledger belonged to one database, and refused others: what it pinned, now and earlier, are keys of that one.
    A target of which no run ever was on a pinned key, while other targets' were, is another database; unless it has
    the same name on another server: a plan says what `read-url` read, and that may be a replica.
    """
    pinned: dict[str, tuple[Identity, str]] = {}
    for row in connection.execute(
        sa.select(audit.c.at, audit.c.facts)
        .where(audit.c.kind == "identity pinned")
        .order_by(audit.c.sequence)
    ):
        found = msgspec.json.decode(row.facts, type=Pinned).identity
        pinned.setdefault(_key(found), (found, row.at))
    here = connection.execute(sa.select(identity.c.uuid, identity.c.facts)).one()
    now = connection.execute(sa.select(sa.func.max(audit.c.at))).scalar_one_or_none() or ""
    if here.facts:
        found = msgspec.json.decode(here.facts, type=Identity)
        pinned.setdefault(_key(found), (found, now))
    for key, (found, since) in pinned.items():
        _note(connection, key, found, here.uuid, since)
    connection.execute(sa.update(runs).values(database_id=here.uuid))
    called = {found.facts["database"] for found, _ in pinned.values() if "database" in found.facts}
    others = {
        name: keys
        for name, keys in names.items()
        if not keys.keys() & pinned.keys()
        and not called & {found.facts.get("database") for found in keys.values()}
    }
    ids: dict[str, str] = {}
    for name, keys in others.items() if len(others) < len(names) else ():
        there = next((ids[key] for key in keys if key in ids), _uuid(here.uuid, name))
        for key, found in keys.items():
            if key not in ids:
                _note(connection, key, found, there, now)
                ids[key] = there
        connection.execute(sa.update(runs).where(runs.c.target == name).values(database_id=there))
    of_run = sa.select(runs.c.database_id).where(runs.c.sequence == applied.c.sequence).scalar_subquery()
    connection.execute(sa.update(applied).values(database_id=of_run))


def _note(connection: sa.Connection, key: str, found: Identity, database_id: str, since: str) -> None:
    row = {"identity_key": key, "name_key": _name_key(found), "database_id": database_id, "since": since}
    connection.execute(sa.insert(databases).values(row))


def _uuid(uuid: str, name: str) -> str:
    """An id that a second try, after a kill, gives again."""
    digest = hashlib.sha256(f"{uuid} {name}".encode()).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))


def _rehearsals(connection: sa.Connection) -> None:
    """Write down which backup each dry run restored, and whether it proved it."""
    decoder = msgspec.json.Decoder(Stage)
    wanted = (stages.c.run_id, stages.c.outcome, stages.c.recorded, stages.c.result)
    for page in _pages(connection, stages, wanted, stages.c.stage == "dry-run"):
        found = [(row, decoder.decode(zstd.decompress(row.result)).evidence) for row in page]
        measured = {row.run_id: (row, evidence) for row, evidence in found if evidence is not None}
        if not measured:
            continue
        of_runs = connection.execute(
            sa.select(runs.c.run_id, runs.c.database_id).where(runs.c.run_id.in_(measured))
        )
        whose = {row.run_id: row.database_id for row in of_runs}
        taken = connection.execute(
            sa.select(stages.c.run_id, stages.c.result).where(
                stages.c.run_id.in_(measured), stages.c.stage == "backup"
            )
        )
        restored = {row.run_id: decoder.decode(zstd.decompress(row.result)).backup for row in taken}
        rows = []
        for run_id, (row, evidence) in measured.items():
            backup = restored.get(run_id)
            rows.append(
                {
                    "sequence": row.sequence,
                    "database_id": whose.get(run_id),
                    "run_id": run_id,
                    "backup_id": backup.backup_id if backup is not None else None,
                    "passed": row.outcome == "passed",
                    "proven": evidence.proven,
                    "recorded": row.recorded,
                }
            )
        connection.execute(sa.insert(rehearsals), rows)


def _pages(
    connection: sa.Connection, table: Any, columns: tuple[Any, ...], *conditions: Any
) -> Iterator[Any]:
    """Rows in the order of their sequence, some at a time."""
    last = None
    while True:
        after = () if last is None else (table.c.sequence > last,)
        page = connection.execute(
            sa.select(table.c.sequence, *columns)
            .where(*conditions, *after)
            .order_by(table.c.sequence)
            .limit(PAGE)
        ).all()
        if not page:
            return
        last = page[-1].sequence
        yield page


# --------------------------------------------------------------------------- the keys of a database, as of now


def _key(found: Identity) -> str:
    return _text(found, named=False)


def _name_key(found: Identity) -> str:
    return _text(found, named=True)


def _text(found: Identity, *, named: bool) -> str:
    members: dict[str, dict[str, str]] = {}
    for name, fact in found.facts.items():
        member, _, bare = name.rpartition(".")
        members.setdefault(member, {})[bare] = fact
    parts = []
    for name, facts in sorted(members.items()):
        part = _part(facts, named=named)
        parts.append(f"{name}={part}" if name else part)
    return _shortened(f"{found.dialect}:{' '.join(parts)}".encode(errors="backslashreplace").decode())


def _part(facts: dict[str, str], *, named: bool) -> str:
    known = facts.get("server") or facts.get("system_identifier")
    server = known or f"{facts.get('host', '')}:{facts.get('port', '')}"
    if "oid" in facts and not named:
        return f"{server}/{facts['oid']}"
    if "file" in facts:
        return facts["file"]
    if "database" in facts and ("oid" in facts or "server" in facts):
        return f"{server}/{facts['database']}"
    return ",".join(f"{name}={fact}" for name, fact in sorted(facts.items()))


def _shortened(text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text if len(text) <= 255 else f"{text[: 255 - len(digest) - 1]}#{digest}"

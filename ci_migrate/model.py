"""The nouns of ci-migrate, frozen. Read this file first.

All of them are msgspec structs: `msgspec.json.encode(..., order="deterministic")` is their canonical JSON,
`msgspec.json.schema(Report)` their published schema. Names in JSON are camelCase. Times are UTC, ISO 8601;
durations are seconds.
"""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import msgspec

from ci_migrate.errors import ExitCode
from ci_migrate.schema_words import changed


class Noun(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of all nouns: immutable, camelCase in JSON."""


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no white space. What digests are taken of."""
    return msgspec.json.encode(value, order="deterministic")


def sha256_hex(data: bytes) -> str:
    """The sha256 of some bytes, as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def now() -> datetime:
    """The time of this machine, UTC."""
    return datetime.now(UTC)


# --------------------------------------------------------------------------- the target


class Identity(Noun, frozen=True, kw_only=True):
    """Which database this is. Facts that the server tells, none that a repository can set.

    `place` is what a person reads (`/srv/app.db`, `db.example.com:5432/shop`) and holds no secret. `facts` are
    engine specific: SQLite `file`; PostgreSQL `host`, `port`, `database`, `system_identifier`, `oid`.
    """

    dialect: str
    place: str
    facts: dict[str, str]


class VersionTable(Noun, frozen=True, kw_only=True):
    """One version table of Alembic's: several databases, schemas or tables make several of them."""

    name: str = "alembic_version"
    schema: str | None = None
    database: str = ""  # "" is the target itself; otherwise the key in the target's `databases`
    search_path: str | None = None  # the schema that unqualified names meant when env.py configured it

    @property
    def label(self) -> str:
        """For people: `alembic_version`, `tenant_a.alembic_version`."""
        parts = (self.database, self.schema or self.search_path, self.name)
        return ".".join(p for p in parts if p)


# --------------------------------------------------------------------------- the plan


class Direction(StrEnum):
    """Which way a plan goes."""

    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"
    RESTORE = "restore"  # `destination` is the backup's id
    PROTECTION = "protection"  # `destination` says what becomes of the protection


class Revision(Noun, frozen=True, kw_only=True):
    """One revision script.

    `file` is relative to the project and POSIX; `has_downgrade` is False for an empty or missing `downgrade()`;
    `allow` is the module's `ci_migrate = {"allow": {code: reason}}`.
    """

    id: str
    file: str
    sha256: str
    message: str
    down_revisions: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    branch_labels: tuple[str, ...] = ()
    has_downgrade: bool = True
    allow: dict[str, str] = {}


class PlannedContext(Noun, frozen=True, kw_only=True):
    """What will run in one version table: from which heads to which, by which revisions, in this order."""

    version_table: VersionTable
    from_heads: tuple[str, ...]
    to_heads: tuple[str, ...]
    revisions: tuple[str, ...]


class Plan(Noun, frozen=True, kw_only=True):
    """What is going to happen, to which database. Its digest is what an approval is given for."""

    target: str
    identity: Identity
    direction: Direction
    destination: str
    contexts: tuple[PlannedContext, ...]
    revisions: tuple[Revision, ...]  # each revision that any context runs, once, in order
    env_sha256: str
    script_heads: tuple[str, ...]

    @property
    def digest(self) -> str:
        """sha256 of the canonical JSON."""
        return sha256_hex(canonical_json(self))

    @property
    def pending(self) -> int:
        """How many times a revision will run."""
        return sum(len(context.revisions) for context in self.contexts)

    @property
    def changes_nothing(self) -> bool:
        """Whether the target is there already: nothing would run, no version row would change."""
        return not self.pending and (
            self.direction is not Direction.STAMP or all(c.from_heads == c.to_heads for c in self.contexts)
        )

    @property
    def from_heads(self) -> tuple[str, ...]:
        """All heads that the target is at now, sorted."""
        return tuple(sorted({head for context in self.contexts for head in context.from_heads}))

    @property
    def to_heads(self) -> tuple[str, ...]:
        """All heads that the target will be at, sorted."""
        return tuple(sorted({head for context in self.contexts for head in context.to_heads}))

    def revision(self, revision_id: str) -> Revision | None:
        """The revision with this id, if the plan runs it."""
        return next((r for r in self.revisions if r.id == revision_id), None)


# --------------------------------------------------------------------------- schema and rows

Schema = dict[str, str]
"""From schema object (`table public.users`, `column public.users.email`) to its definition as text."""


class Fingerprint(Noun, frozen=True, kw_only=True):
    """From schema object to the hash of its definition."""

    objects: dict[str, str]

    @classmethod
    def of(cls, schema: Schema) -> "Fingerprint":
        """The fingerprint of a schema."""
        return cls(objects={name: sha256_hex(text.encode())[:16] for name, text in schema.items()})

    @property
    def digest(self) -> str:
        """One hash over all objects."""
        return sha256_hex(canonical_json(self.objects))


Delta = dict[str, str | None]
"""What changed between two fingerprints: object -> hash afterwards, None where it is gone."""


def delta(before: Fingerprint, after: Fingerprint) -> Delta:
    """What must be changed in `before` to get `after`."""
    found: Delta = dict.fromkeys(before.objects.keys() - after.objects.keys())
    found.update({name: after.objects[name] for name, _ in after.objects.items() - before.objects.items()})
    return found


class SchemaChange(Noun, frozen=True, kw_only=True):
    """One object that changed. `before` or `after` is None where the object did not exist."""

    name: str
    before: str | None
    after: str | None

    @property
    def words(self) -> str:
        """`column users.email added`, `column users.email: type was varchar(255), is varchar(64)`."""
        return changed(self.name, self.before, self.after)


def schema_changes(before: Schema, after: Schema) -> tuple[SchemaChange, ...]:
    """All differences between two schemas, sorted by object."""
    names = sorted({name for name, _ in before.items() ^ after.items()})
    return tuple(SchemaChange(name=n, before=before.get(n), after=after.get(n)) for n in names)


class RowCount(Noun, frozen=True, kw_only=True):
    """Rows of a table; `exact` is False for the engine's estimate (shown with ~)."""

    rows: int
    exact: bool = True


class ColumnContent(Noun, frozen=True, kw_only=True):
    """What a column holds. `digest` does not depend on the order of rows; None where it was too much to read."""

    values: int  # rows in which the column is not NULL
    digest: str | None = None


class TableContent(Noun, frozen=True, kw_only=True):
    """What a table holds. `digest` covers whole rows, whatever their order and the order of columns."""

    rows: int
    digest: str | None = None
    columns: dict[str, ColumnContent] = {}


# --------------------------------------------------------------------------- evidence


class LockHeld(Noun, frozen=True, kw_only=True):
    """A lock that a statement took, and how long it was held until the commit (not: waited for).

    `table` is "" for a lock on the whole database; `mode` is in the engine's own words; `blocks` says what others
    can't do to the table meanwhile: "reads and writes", "writes", or "" where they go on. Time that went into
    measuring is not counted.
    """

    table: str
    mode: str
    seconds: float | None = None
    blocks: str = ""


class Statement(Noun, frozen=True, kw_only=True):
    """One statement that a revision (or env.py: `revision` None) sent.

    `file` and `line` are in the revision script; `rows` is what the driver reported, None where it did not;
    `position` counts from 1 in the run. `locks` are those that its transaction did not hold before; `rewrites` are
    tables that were there before the run and were written anew by it.
    """

    position: int
    context: int
    revision: str | None
    file: str | None
    line: int | None
    sql: str
    digest: str
    seconds: float
    rows: int | None
    repeats: int = 1  # a loop over rows is kept once, with how often it ran
    locks: tuple[LockHeld, ...] = ()
    rewrites: tuple[str, ...] = ()


class Rung(Noun, frozen=True, kw_only=True):
    """The target after one commit point of the dry run.

    `delta` is against the rung before. `heads` are the rows of each version table. `statements` is how many had
    run. `complete` is False for a commit in the middle of a revision; where that one left the schema as it was,
    `changed` is what those tables hold whose rows are not those of the start. `announced`: somebody asked for the
    commit, so that the child said so before; without one nobody can stand here. False where a statement commits by
    itself.
    """

    position: int
    context: int
    revision: str | None
    complete: bool
    statements: int
    announced: bool = False
    heads: tuple[tuple[str, ...], ...]
    delta: Delta
    contents: dict[str, TableContent] = {}
    changed: dict[str, TableContent] | None = None


class TableEvidence(Noun, frozen=True, kw_only=True):
    """Rows of one table before and after the dry run; None where the table did not exist."""

    before: TableContent | None
    after: TableContent | None


class WayBack(Noun, frozen=True, kw_only=True):
    """Whether `downgrade` leads back. `lossless` is None where it could not be told.

    `proven_from` counts the revisions, from the last one backwards, whose downgrade led to the fingerprint
    before it: a target at rung k can go back to the start only if all k of them are proven.
    """

    tried: bool
    ran: bool = False
    same_schema: bool = False
    lossless: bool | None = None
    seconds: float = 0.0
    reason: str = ""
    differences: tuple[str, ...] = ()

    @property
    def proven(self) -> bool:
        """Going back by downgrade was tried, led to the same schema and lost nothing."""
        return self.tried and self.ran and self.same_schema and self.lossless is True


class Divergence(Noun, frozen=True, kw_only=True):
    """Where a second rehearsal did something else than the first one. `file` and `line` are in the revision script."""

    words: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None


class Evidence(Noun, frozen=True, kw_only=True):
    """What the dry run measured on the restored copy.

    `measured` says whether statements were asked for locks and rewrites. `log_bytes` is what the server's log (WAL,
    binlog) grew by, others' writes on that server included; None where it can't be told. Sizes are in bytes on disk;
    0: not known. `rehearsals` is 2 where the plan was rehearsed a second time, on another copy.
    """

    proven: bool  # the backup restored, and its fingerprint is the target's
    unproven_reason: str = ""
    statements: tuple[Statement, ...] = ()
    stream_digest: str = ""
    rungs: tuple[Rung, ...] = ()
    before: Fingerprint
    after: Fingerprint
    changes: tuple[SchemaChange, ...] = ()
    tables: dict[str, TableEvidence] = {}
    row_counts_before: dict[str, RowCount] = {}
    row_counts_after: dict[str, RowCount] = {}
    way_back: WayBack
    restore_seconds: float = 0.0
    migrate_seconds: float = 0.0
    measured: bool = False
    log_bytes: int | None = None
    size_before: int = 0
    size_after: int = 0
    rehearsals: int = 1
    divergence: Divergence | None = None
    refused_connections: tuple[str, ...] = ()
    alembic_version: str = ""
    sqlalchemy_version: str = ""


class Severity(StrEnum):
    """What a finding weighs: only an error refuses."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


class Finding(Noun, frozen=True, kw_only=True):
    """What a check found. `acknowledged` is the reason given by somebody who means it; then it refuses nothing."""

    code: str
    name: str
    severity: Severity
    message: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None
    acknowledged: str | None = None

    @property
    def refuses(self) -> bool:
        """Whether the gate says no because of it."""
        return self.severity is Severity.ERROR and self.acknowledged is None


# --------------------------------------------------------------------------- backups


class BackupStatus(StrEnum):
    """Whether a backup has its manifest."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


class BackupFile(Noun, frozen=True, kw_only=True):
    """One file of a backup; `path` is relative to the backup's folder."""

    path: str
    size: int
    sha256: str


class Backup(Noun, frozen=True, kw_only=True):
    """The manifest of a backup. Written last: no manifest, no backup.

    `revision` is what the data is at, `migration_version` where the migration was going to.
    """

    format: int = 1
    backup_id: str
    backup_path: str
    backup_time: datetime
    backup_size: int = 0
    database_size: int = 0  # what the engine told before it was written
    status: BackupStatus = BackupStatus.SUCCESS
    description: str = ""
    target: str = ""  # its name in the settings
    sequence: int = 0
    dialect: str = ""
    engine_version: str = ""
    tool_version: str = ""
    revision: str = ""
    heads: tuple[tuple[str, ...], ...] = ()
    migration_version: str = ""
    identity: Identity | None = None
    tables: tuple[str, ...] = ()
    partial: bool = False  # the rows of `tables` alone, with the whole schema
    row_counts: dict[str, RowCount] = {}
    fingerprint: Fingerprint | None = None
    files: tuple[BackupFile, ...] = ()
    encryption: str | None = None  # "age", or None
    provider_id: str | None = None  # what the provider's command called it; then it keeps the data
    secrets: tuple[str, ...] = ()  # what in the dump is one, in words: "2 user mappings"
    seconds: float = 0.0
    how_to_restore: str = ""


# --------------------------------------------------------------------------- approval


class Approval(Noun, frozen=True, kw_only=True):
    """A grant that fits one plan on one target. The token itself is never kept."""

    approval_id: str
    kind: str  # "confirmation" or "signed"
    plan_digest: str
    target: str
    approved_by: tuple[str, ...]
    reason: str
    created: datetime
    expires: datetime


class TokenRecord(Noun, frozen=True, kw_only=True):
    """What the ledger knows of one approval token. `status`: "valid", "used", "revoked" or "expired"."""

    approval: Approval
    status: str
    direction: Direction
    destination: str
    from_heads: tuple[str, ...]
    used_by: str | None = None  # the run that claimed it
    used: datetime | None = None
    revoked: datetime | None = None


# --------------------------------------------------------------------------- the ledger


class RunRecord(Noun, frozen=True, kw_only=True):
    """One run, as the ledger keeps it. `phase`: "started", "migrating", "repairing" or "finished".

    `before` is the target's fingerprint F_0. `needs_repair`: the run ended and nobody knows in what state.
    """

    run_id: str
    target: str
    command: str
    started: datetime
    finished: datetime | None = None
    exit_code: int | None = None
    state: str | None = None
    phase: str = "started"
    needs_repair: bool = False
    plan: Plan | None = None
    before: Fingerprint | None = None
    backup_id: str | None = None
    pid: int = 0
    host: str = ""
    actor: str = ""


class JournalEntry(Noun, frozen=True, kw_only=True):
    """One line of the statement journal: the intent before, or the outcome after, of something on the target.

    `kind`: "session", "statement", "done", "failed", "committing", "committed", "stamped", "finished", "resumed"
    (then `position` counts the statements of its revision that are committed and left out), "restoring" or "restored"
    (rows that came after the first `position` commits are put back as they were in the backup), "undo" (a statement of
    a repair, in `note`) or "undone" (what came after the first `position` commits is dropped).
    `position` counts statements from 1, `context` the plan's version tables from 0, `digest` is the statement's,
    `prefix` a hash over the stream so far. `sequence` is given by the ledger and grows from entry to entry.
    """

    kind: str
    position: int
    context: int
    revision: str | None = None
    digest: str = ""
    prefix: str = ""
    rows: int | None = None
    note: str = ""
    at: datetime
    sequence: int = 0


# --------------------------------------------------------------------------- results and report


class Outcome(StrEnum):
    """How a stage ended. JUnit keeps failed and error apart."""

    PASSED = "passed"
    FAILED = "failed"  # the thing under test said no
    ERROR = "error"  # machinery or a plugin broke
    SKIPPED = "skipped"


class TargetState(StrEnum):
    """What is known about the target at the end."""

    UNTOUCHED = "untouched"
    MIGRATED = "migrated"
    AS_BEFORE = "as before, proved"
    KEPT_PREFIX = "partly migrated"
    UNKNOWN = "unknown"


class Diagnosis(Noun, frozen=True, kw_only=True):
    """How far a migration got, told from journal, version rows and fingerprint."""

    found: str  # "not started" | "rolled back" | "finished" | "revision committed" | "half a revision" | "unknown"
    words: str
    rung: int | None = None
    last_statement: int | None = None
    next_commands: tuple[str, ...] = ()


class StageResult(Noun, frozen=True, kw_only=True):
    """What one stage did. `message` has at most three lines; `details` is the long text for reports.

    `sql` is the statement that failed, without its bound values.
    """

    stage: str
    outcome: Outcome
    seconds: float = 0.0
    message: str = ""
    details: str = ""
    file: str | None = None
    line: int | None = None
    sql: str = ""
    findings: tuple[Finding, ...] = ()
    exit_code: int | None = None  # of the error that ended the stage, where there was one
    state: TargetState | None = None
    plan: Plan | None = None
    backup: Backup | None = None
    evidence: Evidence | None = None
    approval: Approval | None = None
    diagnosis: Diagnosis | None = None


class Report(Noun, frozen=True, kw_only=True):
    """A finished run, or one so far. Reporters are pure functions of it.

    `folder` is the project's, from the root of the repository and POSIX; "" where it is the root.
    """

    run_id: str
    command: str
    target: str
    place: str = ""
    folder: str = ""
    started: datetime
    version: str
    seconds: float = 0.0
    results: tuple[StageResult, ...] = ()
    warnings: tuple[str, ...] = ()
    interrupted: int | None = None  # 130 or 143

    def plus(self, result: StageResult) -> "Report":
        """This report with one more result."""
        return msgspec.structs.replace(self, results=(*self.results, result))

    def result(self, stage: str) -> StageResult | None:
        """The result of a stage, if it is there."""
        return next((r for r in self.results if r.stage == stage), None)

    def _last(self, field: str) -> Any:
        return next(
            (getattr(r, field) for r in reversed(self.results) if getattr(r, field) is not None), None
        )

    @property
    def plan(self) -> Plan | None:
        """The plan, as soon as a stage has made it."""
        plan: Plan | None = self._last("plan")
        return plan

    @property
    def backup(self) -> Backup | None:
        """The backup that this run took or reused."""
        backup: Backup | None = self._last("backup")
        return backup

    @property
    def evidence(self) -> Evidence | None:
        """What the dry run measured."""
        evidence: Evidence | None = self._last("evidence")
        return evidence

    @property
    def approval(self) -> Approval | None:
        """The approval that this run reserved."""
        approval: Approval | None = self._last("approval")
        return approval

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What the repair found."""
        diagnosis: Diagnosis | None = self._last("diagnosis")
        return diagnosis

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all stages, worst first, then by code and revision."""
        order = list(Severity)
        found = [f for r in self.results for f in r.findings]
        return tuple(
            sorted(found, key=lambda f: (not f.refuses, order.index(f.severity), f.code, f.revision or ""))
        )

    @property
    def first_bad(self) -> StageResult | None:
        """The first stage that did not pass, which is the one to show first."""
        return next((r for r in self.results if r.outcome in (Outcome.FAILED, Outcome.ERROR)), None)

    @property
    def state(self) -> TargetState:
        """What is known about the target at the end."""
        state: TargetState | None = self._last("state")
        return state or TargetState.UNTOUCHED

    @property
    def exit_code(self) -> ExitCode:
        """The one place where an exit code is decided."""
        bad = self.first_bad
        if self.interrupted is not None:
            return ExitCode(self.interrupted)
        if bad is None:
            return ExitCode.OK
        if self.result("migrate") is not None and self.state is not TargetState.UNTOUCHED:
            return ExitCode.FAILED_RESTORED if self.state is TargetState.AS_BEFORE else ExitCode.FAILED_DIRTY
        if bad.exit_code is not None:
            return ExitCode(bad.exit_code)
        return ExitCode.REFUSED if bad.outcome is Outcome.FAILED else ExitCode.COULD_NOT_TELL

"""What the dry run measured."""

from datetime import datetime

import msgspec

from ci_migrate.model.base import Frozen
from ci_migrate.model.comparison import Comparison
from ci_migrate.model.inputs import Inputs
from ci_migrate.model.release import ReleaseFit
from ci_migrate.model.schema import Delta, Fingerprint, RowCount, SchemaChange, TableContent
from ci_migrate.model.words import plural


class LockHeld(Frozen, frozen=True, kw_only=True):
    """A lock that a statement took, and how long it was held until the commit (not: waited for).

    `table` is "" for a lock on the whole database; `mode` is in the engine's own words; `blocks` says what others
    can't do to the table meanwhile: "reads and writes", "writes", or "" where they go on. Time that went into
    measuring is not counted. `rows` is how many rows of the table its transaction had changed or deleted when it ended,
    each of which nobody else could change meanwhile.
    """

    table: str
    mode: str
    seconds: float | None = None
    blocks: str = ""
    rows: int = 0


class Statement(Frozen, frozen=True, kw_only=True):
    """One statement that a revision (or env.py: `revision` None) sent.

    `file` and `line` are in the revision script; `rows` is what the driver reported, None where it did not;
    `position` counts from 1 in the run. `locks` are those that its transaction did not hold before; `rewrites` are
    tables that were there before the run and were rewritten by it. `exact` is a digest of text and values as they stand
    in the script; "" where they were computed, or it is a loop: then only the form of the statement is compared.
    `backfill` is the name of the batched backfill that sent it, "" for none.
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
    exact: str = ""
    backfill: str = ""

    @property
    def loops(self) -> bool:
        """Whether it may run more often, or not at all: a round of a loop, or of a batched backfill."""
        return self.repeats > 1 or bool(self.backfill)


class CommitPoint(Frozen, frozen=True, kw_only=True):
    """The target after one commit point of the dry run.

    `delta` is against the commit point before. `heads` are the rows of each version table. `statements` is how many had
    run. `complete` is False for a commit in the middle of a revision; where that one left the schema as it was,
    `changed` is what those tables hold whose rows are not those of the start. `announced`: somebody asked for the
    commit, so that the child said so before; without one nobody can stand here. False where a statement commits by
    itself. `backfill`: all batches of that backfill, of which the target may have more or fewer.
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
    backfill: str = ""


class Backfill(Frozen, frozen=True, kw_only=True):
    """A batched backfill on the copy: `rows` that its batches covered, in so many `seconds`, without pauses.

    `changed` are those that its statement changed; `target_rows` are those of the table in the backup.
    """

    name: str
    context: int
    revision: str | None
    table: str
    rows: int
    changed: int
    batches: int
    seconds: float
    target_rows: int | None = None

    @property
    def words(self) -> str:
        """How long it took, and how long it will take for the rows of the target at this rate."""
        took = f"backfill {self.name}: {plural(self.rows, 'row')} in {self.seconds:.1f} s on the copy"
        if not self.rows or not self.seconds:
            return f"{took}, which says nothing of how long it will take on the target"
        rate = self.rows / self.seconds
        rows = self.rows if self.target_rows is None else self.target_rows
        return (
            f"{took} ({rate:,.0f} rows/s); at this rate about {rows / rate:,.0f} s for the {plural(rows, 'row')} of "
            "the target, and its pauses"
        )


class TableEvidence(Frozen, frozen=True, kw_only=True):
    """Rows of one table before and after the dry run; None where the table did not exist."""

    before: TableContent | None
    after: TableContent | None


class WayBack(Frozen, frozen=True, kw_only=True):
    """Whether `downgrade` leads back. `lossless` is None where it could not be told."""

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


class Divergence(Frozen, frozen=True, kw_only=True):
    """Where a second rehearsal did something else than the first one. `file` and `line` are in the revision script."""

    words: str
    revision: str | None = None
    file: str | None = None
    line: int | None = None


class Rehearsal(Frozen, frozen=True, kw_only=True):
    """Which dry run measured this, and what it stood upon: what must still hold where a later run uses it.

    `at` is its end by the ledger's clock, `plan` the plan's digest, `manifest` the sha256 of the backup's manifest as
    it was read, `version` that of ci-migrate. `conditions` are digests, by what they are of: settings, files of SQL,
    plugins.
    """

    run_id: str
    at: datetime
    plan: str
    backup_id: str
    backup_time: datetime
    manifest: str
    version: str
    conditions: dict[str, str]


class NamedRehearsal(Frozen, frozen=True, kw_only=True):
    """The dry run that an approval names. `evidence` is the sha256 of what it measured and found.

    `until` is the time up to which the approved run may use that, and the backup, instead of new ones; None: it may
    not.
    """

    run_id: str
    at: datetime
    evidence: str
    backup_id: str
    backup_time: datetime
    until: datetime | None = None


class Reused(Frozen, frozen=True, kw_only=True):
    """What a stage used instead of doing its work: of which run ("": not known), when that was made, its age then."""

    run_id: str = ""
    at: datetime
    seconds: float


MASKED = "values of rows are masked"
"""How the words begin by which the comparison of a rehearsal says so."""


class Evidence(Frozen, frozen=True, kw_only=True):
    """What the dry run measured on the restored copy.

    `measured` says whether statements were asked for locks and rewrites. `log_bytes` is what the server's log (WAL,
    binlog) grew by, others' writes on that server included; None where it can't be told. Sizes are in bytes on disk;
    0: not known. `rehearsals` is 2 where the plan was rehearsed a second time, on another copy. `inputs` is what the
    rehearsal executed and read beyond the plan's inputs; `made` are files that it made itself, with their sha256.
    `release` says whether the deployed release works with the migrated copy; None where the settings name none.
    `rehearsal` is None where there was no ledger yet. `without_rows`: the copy had the schema alone, so that nothing
    is known of rows, values, times and the backup; `not_looked_at` are the checks that were left out for it.
    """

    proven: bool  # the backup restored, and nothing that `comparison` compared differs
    unproven_reason: str = ""
    comparison: Comparison = Comparison()  # of the restored copy with the backup
    statements: tuple[Statement, ...] = ()
    stream_digest: str = ""
    commit_points: tuple[CommitPoint, ...] = msgspec.field(default=(), name="rungs")  # its name since 0.1.0
    before: Fingerprint
    after: Fingerprint
    changes: tuple[SchemaChange, ...] = ()
    tables: dict[str, TableEvidence] = {}
    row_counts_before: dict[str, RowCount] = {}
    row_counts_after: dict[str, RowCount] = {}
    way_back: WayBack
    restore_seconds: float = 0.0
    clone_seconds: float = 0.0  # how long clones of the provider were there, all of them together
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
    inputs: Inputs = Inputs()
    made: dict[str, str] = {}
    release: ReleaseFit | None = None
    rehearsal: Rehearsal | None = None
    without_rows: bool = False
    not_looked_at: tuple[str, ...] = ()
    backfills: tuple[Backfill, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether the copy had other values than the target: what its rows were says nothing of the target's."""
        return any(words.startswith(MASKED) for words in self.comparison.exceptions)

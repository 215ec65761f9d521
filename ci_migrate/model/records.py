"""What the ledger keeps: runs, the statement journal."""

from datetime import datetime
from enum import StrEnum

from ci_migrate.model.base import Frozen
from ci_migrate.model.plan import Plan
from ci_migrate.model.schema import Fingerprint


class RunRecord(Frozen, frozen=True, kw_only=True):
    """One run, as the ledger keeps it. `phase`: "started", "migrating", "repairing", "restoring" or "finished".

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


class EntryKind(StrEnum):
    """What a line of the statement journal tells."""

    SESSION = "session"
    STATEMENT = "statement"  # about to be sent
    DONE = "done"
    FAILED = "failed"
    COMMITTING = "committing"  # about to be asked for
    COMMITTED = "committed"
    STAMPED = "stamped"
    FINISHED = "finished"
    RESUMED = "resumed"  # `position` counts the statements of its revision that are committed and left out
    RESTORING = "restoring"  # rows that came after the first `position` commits are about to be put back
    RESTORED = "restored"
    UNDO = "undo"  # a statement of a repair, in `note`, is about to be sent
    UNDONE = "undone"  # what came after the first `position` commits is dropped


BACKFILL = "backfill "
"""How the note of a batch begins; of COMMITTING, whose note is a transaction's id, its digest."""


class JournalEntry(Frozen, frozen=True, kw_only=True):
    """One line of the statement journal: the intent before, or the outcome after, of something on the target.

    `position` counts statements from 1, `context` the plan's version tables from 0, `digest` is the statement's,
    `prefix` a hash over the stream so far. `sequence` is given by the ledger and grows from entry to entry.
    """

    kind: EntryKind
    position: int
    context: int
    revision: str | None = None
    digest: str = ""
    prefix: str = ""
    rows: int | None = None
    note: str = ""
    at: datetime
    sequence: int = 0

    @property
    def backfill(self) -> str:
        """The batched backfill that sent the statement, or whose batch is committed; "" for none."""
        words = self.digest if self.kind is EntryKind.COMMITTING else self.note
        of_one = self.kind in (EntryKind.STATEMENT, EntryKind.COMMITTING, EntryKind.COMMITTED)
        return words.removeprefix(BACKFILL) if of_one and words.startswith(BACKFILL) else ""

    def is_next_batch(self, before: "JournalEntry | None") -> bool:
        """Whether it is the commit of a further batch of the backfill that committed last."""
        return (
            before is not None
            and bool(self.backfill)
            and (before.context, before.revision, before.backfill)
            == (self.context, self.revision, self.backfill)
        )

"""What the ledger keeps: approvals, runs, the statement journal."""

from datetime import datetime
from enum import StrEnum

from ci_migrate.model.base import Frozen
from ci_migrate.model.plan import Direction, Plan
from ci_migrate.model.schema import Fingerprint


class Approval(Frozen, frozen=True, kw_only=True):
    """A grant that fits one plan on one target. The token itself is never kept."""

    approval_id: str
    kind: str  # "confirmation" or "signed"
    plan_digest: str
    target: str
    approved_by: tuple[str, ...]
    reason: str
    created: datetime
    expires: datetime


class TokenRecord(Frozen, frozen=True, kw_only=True):
    """What the ledger knows of one approval token. `status`: "valid", "used", "revoked" or "expired"."""

    approval: Approval
    status: str
    direction: Direction
    destination: str
    from_heads: tuple[str, ...]
    used_by: str | None = None  # the run that claimed it
    used: datetime | None = None
    revoked: datetime | None = None


class RunRecord(Frozen, frozen=True, kw_only=True):
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

"""The errors of ci-migrate: each says what happened, in what state the database is, and what to do next."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns; the same numbers stand in `--help` and in the README."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    BUG = 3
    NOT_APPROVED = 4
    LOCKED = 5
    FAILED_RESTORED = 6
    FAILED_DIRTY = 7
    COULD_NOT_TELL = 8
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODE_MEANING = {
    ExitCode.OK: "ok",
    ExitCode.REFUSED: "the gate said no, database untouched",
    ExitCode.USAGE: "usage or settings",
    ExitCode.BUG: "bug in ci-migrate",
    ExitCode.NOT_APPROVED: "not approved",
    ExitCode.LOCKED: "locked by another run",
    ExitCode.FAILED_RESTORED: "migration failed, database as it was before",
    ExitCode.FAILED_DIRTY: "migration failed or unproved: manual intervention required",
    ExitCode.COULD_NOT_TELL: "could not tell, database untouched",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
    ExitCode.TERMINATED: "terminated (SIGTERM)",
}


UNTOUCHED = "The database was not touched."


class CiMigrateError(Exception):
    """Base of all errors that a user may see.

    Args:
        what: what happened, with names.
        state: in what state the database is; the default says that it was not touched.
        hint: the next command or setting.
        file: where the cause is, as the project names it; None where it is in no file.
        line: in that file, from 1; None where nobody knows.

    `code` names the kind of error for programs; docs/errors.md has each.
    """

    exit_code = ExitCode.COULD_NOT_TELL
    code = "error"

    def __init__(
        self,
        what: str,
        *,
        state: str = UNTOUCHED,
        hint: str = "",
        file: str | None = None,
        line: int | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.state = state
        self.hint = hint
        self.file = file
        self.line = line

    @property
    def lines(self) -> tuple[str, ...]:
        """At most three lines: what happened, the database's state, the next command."""
        return tuple(line for line in (self.what, self.state, self.hint) if line)


class UsageError(CiMigrateError):
    """A flag, an argument or a setting makes no sense."""

    exit_code = ExitCode.USAGE
    code = "usage"


class SettingsError(UsageError):
    """A settings file or variable that can't be used; names file, key and the nearest valid key."""

    code = "settings"


class RefusedError(CiMigrateError):
    """The gate says no before anything ran."""

    exit_code = ExitCode.REFUSED
    code = "refused"


class NotApprovedError(CiMigrateError):
    """A token that is missing, malformed, expired, used, revoked or meant for something else."""

    exit_code = ExitCode.NOT_APPROVED
    code = "not-approved"


class LockedError(CiMigrateError):
    """Another run holds the lock of this target."""

    exit_code = ExitCode.LOCKED
    code = "locked"


class DirtyError(CiMigrateError):
    """The target is in a state that needs manual intervention."""

    exit_code = ExitCode.FAILED_DIRTY
    code = "unfinished"


class DatabaseError(CiMigrateError):
    """The database can't be reached, or refused what the gate itself asked of it."""

    code = "database"


class LockWaitError(DatabaseError):
    """Another session's lock did not go in time."""

    code = "lock-wait"


class ToolError(CiMigrateError):
    """A client tool (pg_dump, ...) is missing, too old, or failed."""

    code = "tool"


class WorkerError(CiMigrateError):
    """The child process that runs Alembic could not do its work (env.py raised, hung, was killed)."""

    code = "worker"


class BackupError(CiMigrateError):
    """A backup could not be written, read, verified or restored."""

    code = "backup"


class LedgerError(CiMigrateError):
    """The ledger can't be reached, made or read."""

    code = "ledger"


def error_codes() -> frozenset[str]:
    """All that an error may be called: the codes of the classes, of a bug and of a signal."""
    left, found = [CiMigrateError], {"bug", "interrupted"}
    while left:
        kind = left.pop()
        found.add(kind.code)
        left += kind.__subclasses__()
    return frozenset(found)

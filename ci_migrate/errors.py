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


class CiMigrateError(Exception):
    """Base of all errors that a user may see.

    Args:
        what: what happened, with names.
        state: in what state the database is; the default says that it was not touched.
        hint: the next command or setting.
    """

    exit_code = ExitCode.COULD_NOT_TELL

    def __init__(self, what: str, *, state: str = "The database was not touched.", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.state = state
        self.hint = hint

    @property
    def lines(self) -> tuple[str, ...]:
        """At most three lines: what happened, the database's state, the next command."""
        return tuple(line for line in (self.what, self.state, self.hint) if line)


class UsageError(CiMigrateError):
    """A flag, an argument or a setting makes no sense."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """A settings file or variable that can't be used; names file, key and the nearest valid key."""


class RefusedError(CiMigrateError):
    """The gate says no before anything ran."""

    exit_code = ExitCode.REFUSED


class NotApprovedError(CiMigrateError):
    """A token that is missing, malformed, expired, used, revoked or meant for something else."""

    exit_code = ExitCode.NOT_APPROVED


class LockedError(CiMigrateError):
    """Another run holds the lock of this target."""

    exit_code = ExitCode.LOCKED


class DirtyError(CiMigrateError):
    """The target is in a state that needs manual intervention."""

    exit_code = ExitCode.FAILED_DIRTY


class DatabaseError(CiMigrateError):
    """The database can't be reached, or refused what the gate itself asked of it."""


class LockWaitError(DatabaseError):
    """Another session's lock did not go in time."""


class ToolError(CiMigrateError):
    """A client tool (pg_dump, ...) is missing, too old, or failed."""


class WorkerError(CiMigrateError):
    """The child process that runs Alembic could not do its work (env.py raised, hung, was killed)."""


class BackupError(CiMigrateError):
    """A backup could not be written, read, verified or restored."""


class LedgerError(CiMigrateError):
    """The ledger can't be reached, made or read."""

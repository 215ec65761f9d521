"""SQLite: the one lock of the database, and tables that are made anew under another name (Alembic's batch mode)."""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from ci_migrate.databases.effects import renames
from ci_migrate.databases.measuring import WRITES, Ran, Taken
from ci_migrate.databases.statements import Verb, actions_in
from ci_migrate.migrations.worker.tokens import SQLITE
from ci_migrate.model import LockHeld

NO_LOCK = (
    "PRAGMA", "ATTACH", "DETACH", "VACUUM", "COMMIT", "END", "ROLLBACK", "RELEASE", "SELECT", "VALUES", "EXPLAIN"
)  # fmt: skip


class SQLiteMeter:
    """See `measuring.Meter`.

    SQLite tells nothing of locks: what it does is documented, and the worker begins each transaction with BEGIN
    IMMEDIATE, so RESERVED is held from its first statement that is no query to its end.

    Args:
        tables: those that were there before.
    """

    probe = commit_probe = ""

    def __init__(self, tables: Collection[str]) -> None:
        self._tables = {name.lower(): name for name in tables}

    def taken(
        self,
        ran: Sequence[Ran],
        *,
        committed: bool,  # noqa: ARG002
        changed: Sequence[Sequence[str]] | None = None,  # noqa: ARG002
    ) -> Sequence[Taken]:
        begun = False
        gone: set[str] = set()
        made: set[str] = set()
        found = []
        for statement in ran:
            locks: tuple[LockHeld, ...] = ()
            actions = actions_in(statement.sql, SQLITE)
            if not begun and any(not action.starts(*NO_LOCK) for action in actions):
                begun = True
                locks = (LockHeld(table="", mode="RESERVED", blocks=WRITES),)
            rewrites: tuple[str, ...] = ()
            for action in actions:
                names = {table.lower() for *owner, table in action.tables if owner in ([], ["main"])}
                made |= names if action.verb is Verb.CREATE_TABLE else set()
                gone |= names if action.verb is Verb.DROP_TABLE else set()
                for (*_, old), (*_, new) in renames(action):
                    if old.lower() in made and new.lower() in gone and new.lower() in self._tables:
                        rewrites = (*rewrites, self._tables[new.lower()])
            found.append(Taken(locks, rewrites))
        return found

    def log_bytes(self) -> int | None:
        return None


def meter(tables: Collection[str]) -> AbstractContextManager[SQLiteMeter]:
    """A Meter; it needs no session."""
    return nullcontext(SQLiteMeter(tables))

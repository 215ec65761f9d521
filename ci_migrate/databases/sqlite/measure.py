"""SQLite: the one lock of the database, and tables that are made anew under another name (Alembic's batch mode)."""

import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext

from ci_migrate.databases.measuring import START, WRITES, Ran, Taken
from ci_migrate.model import LockHeld

NAME = r"""(?:"((?:[^"]|"")+)"|`([^`]+)`|\[([^\]]+)\]|(\w+))"""
NO_LOCK = re.compile(
    START + r"(PRAGMA|ATTACH|DETACH|VACUUM|COMMIT|END|ROLLBACK|RELEASE|SELECT|VALUES|EXPLAIN)\b",
    re.IGNORECASE | re.DOTALL,
)
CREATED = re.compile(START + rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{NAME}", re.IGNORECASE | re.DOTALL)
DROPPED = re.compile(START + rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?{NAME}", re.IGNORECASE | re.DOTALL)
RENAMED = re.compile(START + rf"ALTER\s+TABLE\s+{NAME}\s+RENAME\s+TO\s+{NAME}", re.IGNORECASE | re.DOTALL)


def _names(found: re.Match[str]) -> list[str]:
    groups = found.groups()
    each = [next(filter(None, groups[n : n + 4]), "") for n in range(0, len(groups), 4)]
    return [name.replace('""', '"') for name in each]


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
            if not begun and not NO_LOCK.match(statement.sql):
                begun = True
                locks = (LockHeld(table="", mode="RESERVED", blocks=WRITES),)
            rewrites: tuple[str, ...] = ()
            if match := CREATED.match(statement.sql):
                made.add(_names(match)[0].lower())
            elif match := DROPPED.match(statement.sql):
                gone.add(_names(match)[0].lower())
            elif match := RENAMED.match(statement.sql):
                old, new = (name.lower() for name in _names(match))
                if old in made and new in gone and new in self._tables:
                    rewrites = (self._tables[new],)
            found.append(Taken(locks, rewrites))
        return found

    def log_bytes(self) -> int | None:
        return None


def meter(tables: Collection[str]) -> AbstractContextManager[SQLiteMeter]:
    """A Meter; it needs no session."""
    return nullcontext(SQLiteMeter(tables))

"""A connection whose transactions are the backfill's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .problems import BackfillError

MARK = "ci_migrate_backfill"
"""The execution option of what a backfill sends: by it ci-migrate knows a batch from a statement that runs once."""

MYSQL = ("mysql", "mariadb")
LOCK_TIMEOUTS = ("55P03", "40P01", "40001", "1205", "1213", "SQLITE_BUSY", "SQLITE_LOCKED")
"""A lock timeout, a deadlock or a failed serialization: the batch did nothing and may be tried again."""


@contextmanager
def own_transactions(connection: Connection, name: str) -> Iterator[Commits]:
    """A connection whose transactions are ours, although Alembic or SQLAlchemy thinks that it holds one open.

    Alembic's autocommit_block() holds a transaction object over a driver that commits each statement. The driver is
    told to begin transactions again, which the dialect's own methods then commit: SQLAlchemy has no part in them.
    """
    dialect: Any = connection.dialect
    autocommit = _is_autocommit(connection)
    if connection.in_transaction() and not autocommit:
        raise BackfillError(
            f"Backfill {name!r} can't run here: a transaction is open, and each batch is committed by itself. No row "
            "was changed. Put the call into this block, which commits what comes before it: "
            "with op.get_context().autocommit_block():"
        )
    own = None if connection.in_transaction() else connection.begin()
    commits = Commits(connection.execution_options(**{MARK: None}))
    if autocommit:
        dialect.set_isolation_level(commits.raw, dialect.default_isolation_level)
    try:
        yield commits
    except BaseException:
        with suppress(Exception):  # the connection may be what broke
            commits.rollback()
            commits.close(autocommit)
        with suppress(Exception):
            if own is not None:
                own.rollback()
        raise
    commits.rollback()
    commits.close(autocommit)
    if own is not None:
        own.commit()


def _is_autocommit(connection: Connection) -> bool:
    """Whether the driver commits each statement: by an option of connection or engine, or as it says itself."""
    if str(connection.get_execution_options().get("isolation_level", "")).upper() == "AUTOCOMMIT":
        return True
    detect = getattr(connection.dialect, "detect_autocommit_setting", None)
    with suppress(Exception):  # a dialect need not know
        return bool(detect is not None and detect(connection.connection.dbapi_connection))
    return False


class Commits:
    """A connection, and the ends of its transactions. `sent` is what is marked as the backfill's."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect: Any = connection.dialect
        self.raw: Any = connection.connection.dbapi_connection
        self.restores: list[str] = []

    def mark(self, told: Mapping[str, Any]) -> None:
        """From now on all that is sent belongs to the backfill, which is as far as that."""
        self.connection = self.connection.execution_options(**{MARK: dict(told)})

    def execute(self, statement: Any, values: Mapping[str, Any] | None = None) -> Any:
        """Send a statement; a text with its values."""
        if isinstance(statement, str):
            statement = text(statement, values or {})
        return self.connection.execute(statement)

    def commit(self) -> None:
        """The driver's transaction."""
        self.dialect.do_commit(self.raw)

    def rollback(self) -> None:
        """The driver's transaction; also where it only read."""
        self.dialect.do_rollback(self.raw)

    def close(self, autocommit: bool) -> None:
        """As the connection was before."""
        for statement in self.restores:
            self.execute(statement)
            self.commit()
        if autocommit:
            self.dialect.set_isolation_level(self.raw, "AUTOCOMMIT")
        self.connection.execution_options(**{MARK: None})


def text(sql: str, values: Mapping[str, Any]) -> Any:
    """SQL with values whose types the server tells: a cast to VARCHAR would compare a citext or an enum as a text."""
    untyped = sa.types.NullType()
    return sa.text(sql).bindparams(*(sa.bindparam(n, v, type_=untyped) for n, v in values.items()))


def state_of(error: Any) -> str:
    """The driver's code of an error; "" where it gives none."""
    original: Any = getattr(error, "orig", error)
    code = next(iter(getattr(original, "args", ())), "")
    if isinstance(code, int):
        # of MySQL and MariaDB: newer drivers give an SQLSTATE as well, which is HY000 for all
        return str(code)
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        found = getattr(original, name, None)
        if found:
            return str(found).removesuffix("_SNAPSHOT")
    # Python before 3.11 has no other sign of it
    return "SQLITE_BUSY" if "database is locked" in str(code) else ""

"""Whether two databases, each behind a URL of its own, are one: an address has many names, and a login too."""

from typing import Protocol, runtime_checkable

from ci_migrate.databases.base import Database


@runtime_checkable
class KnowsItself(Protocol):
    """What a Database may do besides: recognise itself behind another URL."""

    def is_same(self, other: Database) -> bool:
        """Whether a session of the other one comes to this very database, by whatever address and login.

        A copy is another one, also where it has the files of this one, and with them its identifiers and its name.
        Raises DatabaseError where it can't be told.
        """


def are_same(one: Database, other: Database) -> bool:
    """Whether both are one database. Raises DatabaseError where it can't be told."""
    if isinstance(one, KnowsItself):
        return one.is_same(other)
    return one.wall().identity == other.wall().identity or _seen_from(one, other)


def _seen_from(one: Database, other: Database) -> bool:
    """Whether a session on one shows among those of the other."""
    engine = one.engine(read_only=True)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
            return any("ci-migrate" in words for words in other.sessions_of("ci-migrate"))
    finally:
        engine.dispose()

"""The contracts of what can tell whether something outside of a scratch copy was written. Dry run only."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class CountsWrites(Protocol):
    """What a Database may do besides: tell which of its tables were written, by the server's own counters."""

    def write_counters(self) -> dict[str, int]:
        """A number for each table that grows with each write, whoever writes; empty where the engine has none."""


@runtime_checkable
class ListsShared(Protocol):
    """What a Database may do besides: list what all databases of its server share."""

    def shared_objects(self) -> dict[str, str]:
        """Roles, memberships, rights and settings of databases, and the like, without copies: object to what it is."""

"""The contract of looking at others' work in a database: what stands in the way of a migration, and who holds it up."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

_VALUES = re.compile(r"'(?:[^']|'')*(?:'|$)|\$(\w*)\$.*?(?:\$\1\$|$)|\b\d[\w.]*", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"]|"")*(?:"|$)', re.DOTALL)

SHOWN = 160
"""How much of somebody else's statement is shown."""


def without_values(sql: str, *, quotes_are_values: bool = False) -> str:
    """Somebody else's statement in one short line, each value in it as `?`: it may be a person's.

    `quotes_are_values`: on MySQL and MariaDB "..." is a text too.
    """
    bare = _VALUES.sub("?", _QUOTED.sub("?", sql) if quotes_are_values else sql)
    text = " ".join(bare.split())
    return text[:SHOWN] + ("..." if len(text) > SHOWN else "")


@dataclass(frozen=True)
class Hindrance:
    """Something that is old, or does not end by itself.

    `stops`: it holds a lock that the migration needs, so that this could only be waited for. `ends` is a statement that
    ends it; "" where there is none.
    """

    words: str
    stops: bool = False
    ends: str = ""


@runtime_checkable
class WatchesTraffic(Protocol):
    """What a Database may do besides: look at what others do in it."""

    def hindrances(self, wanted: Mapping[str, str], age: float) -> list[Hindrance]:
        """What stands in the way of a migration that is about to begin, the worst first.

        Args:
            wanted: by table, as `counts` names it, the mode of the strongest lock that the migration takes, as
                `LockHeld.mode` names it.
            age: seconds from which on a transaction is old, and a replica late.
        """

    def waits(self, application: str) -> list[str]:
        """How far the sessions of this name are that wait or build an index, and who holds each up, as words."""

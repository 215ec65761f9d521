"""Names: of databases beside the target, and of the objects that the keys of a schema name."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TypeVar

from ci_migrate.model import split_key

LONGEST_NAME = 63
"""Bytes of a PostgreSQL identifier; MySQL's have 64 characters."""

BEFORE = "_before_"
"""What stands between a database's name and the label, where a restore has kept what it replaced."""

LABEL = "00000000_000000"
"""What a label looks like: date and time."""


def fit_name(name: str, suffix: str = "") -> str:
    """`name` with `suffix`, the name shortened (and told apart by a hash) where both don't fit."""
    if len((name + suffix).encode()) <= LONGEST_NAME:
        return name + suffix
    mark = "_" + sha256(name.encode()).hexdigest()[:8]
    room = LONGEST_NAME - len((mark + suffix).encode())
    return name.encode()[: max(room, 0)].decode(errors="ignore") + mark + suffix


def name_of_kept(database: str) -> str:
    """What the names begin with that restores of a database keep its predecessors under."""
    return fit_name(database, BEFORE + LABEL)[: -len(LABEL)]


def is_kept(name: str, database: str) -> bool:
    """Whether this is the name of what a restore of a database kept."""
    start = name_of_kept(database)
    return name.startswith(start) and re.fullmatch("[0-9]{8}_[0-9]{6}", name[len(start) :]) is not None


_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')


def parts(name: str) -> tuple[str, ...]:
    """A dotted name, as the keys of a schema write it, in its parts without quotes: `shop."Odd one"`."""
    return tuple(p[1:-1].replace('""', '"') if p.startswith('"') else p for p in _PART.findall(name))


def column_of(key: str) -> tuple[str, str]:
    """The table, as `counts` calls it, and the bare column of the key `column shop.users."Odd one"`."""
    _, name = split_key(key)
    last = list(_PART.finditer(name))[-1]
    return name[: last.start() - 1], parts(last[0])[0]


T = TypeVar("T")


def counted(table: str, found: Mapping[str, T]) -> T | None:
    """What is known of a table that the keys of a schema call so, by its name in `Database.counts`.

    That is the same one, but for SQLite, which counts `"Odd one"` under its bare name.
    """
    return found.get(table, found.get(_PART.sub(lambda part: parts(part[0])[0], table)))

"""What only the application knows: functions and collations that it registers on its own connections.

A schema may name them in generated columns, indexes, constraints and triggers. Without them SQLite can't even count the
rows of such a table, though what is stored is all there. For reading, something of the same name stands in. It never
gives a value: a function fails when it is called, so that nothing wrong can be read or written, and a collation is
needed by name alone where nothing is sorted or looked up. A connection that writes rows must not have such a collation,
as an index would come into the wrong order.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import NoReturn

from ci_migrate.databases.sqlite.catalog import all_rows
from ci_migrate.databases.sqlite.tokens import tokens_of, unquote

_NAME = r"""([A-Za-z_\x80-\U0010ffff][\w$]*|"(?:[^"]|"")+"|`(?:[^`]|``)+`|\[[^\]]+\]|'(?:[^']|'')+')"""
_SPACE = r"(?:\s|/\*.*?\*/|--[^\n]*\n)"
_CALLED = re.compile(rf"{_NAME}{_SPACE}*\(|\b(REGEXP|MATCH)\b", re.DOTALL | re.IGNORECASE)
_COLLATE = re.compile(rf"\bCOLLATE{_SPACE}+{_NAME}", re.DOTALL | re.IGNORECASE)

BUILT_IN = frozenset({"binary", "nocase", "rtrim"})
"""SQLite lists among its collations those too that a schema only names."""


def unknown(connection: sqlite3.Connection, statements: Iterable[str]) -> tuple[set[str], set[str]]:
    """The functions and collations that some SQL names and SQLite does not have, in lower case.

    Among the functions may be whatever else stands before a parenthesis.
    """
    text = "\n".join(statements)
    listed = {str(row[0]).lower() for row in connection.execute("SELECT name FROM pragma_function_list")}
    called = {_bare(name) for name in {a or b for a, b in _CALLED.findall(text)}}
    collations = {_bare(name) for name in set(_COLLATE.findall(text))}
    # SQLite before 3.30 has no list, and its own functions must not be replaced
    return (called - listed if listed else set()), collations - BUILT_IN


def _bare(name: str) -> str:
    return unquote(tokens_of(name)[0]).lower()


def add_stand_ins(connection: sqlite3.Connection, *, collations: bool) -> list[str]:
    """Let a connection read the tables whose schema names what only the application knows.

    Args:
        connection: one of ours, without functions of its own.
        collations: only for a connection that writes no rows.

    Returns:
        The functions that were called after all, each time; empty for now.
    """
    functions, orders = unknown(connection, (sql for _, _, _, sql in all_rows(connection)))
    called: list[str] = []
    for name in functions:
        connection.create_function(name, -1, _failing(name, called), deterministic=True)
    for name in orders if collations else ():
        connection.create_collation(name, lambda one, other: (one > other) - (one < other))
    return called


def _failing(name: str, called: list[str]) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        called.append(name)
        raise NotImplementedError(name)

    return fail

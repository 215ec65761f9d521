"""What objects and statements of several databases are called where they are taken as one; see `database`."""

import re
from collections.abc import Mapping

from ci_migrate.model import Schema

MAIN = ""
"""What the main database is called where the others have the names of the settings; see `VersionTable.database`."""

_KIND = re.compile(r"(?:[a-z]+ )+")


def name_of(database: str, name: str) -> str:
    """What a table of one of several databases is called among all of them."""
    return f"@{database}.{name}" if database else name


def bare(name: str) -> str:
    """What statements call a table (or a column) that is called so among all of them."""
    return name.partition(".")[2] if name.startswith("@") else name


def together(schemas: Mapping[str, Schema]) -> Schema:
    """The schema of all of them."""
    return {add_prefix(name, key): text for name, schema in schemas.items() for key, text in schema.items()}


def key_of(database: str, key: str) -> str:
    """The key of an object of this database as it calls it; "" for one of another."""
    kind = _KIND.match(key)
    start = kind.end() if kind else 0
    owner = key[start + 1 :].partition(".")[0] if key[start : start + 1] == "@" else MAIN
    if owner != database:
        return ""
    return key[:start] + key[start + len(name_of(owner, "")) :]


def mark(database: str, statement: str) -> str:
    """A statement with a comment that says for which of them it is; none for the main one's."""
    return f"/* @{database} */ {statement}" if database else statement


def unmark(database: str, statement: str) -> str:
    """A statement of this database as it is sent; "" for one of another."""
    comment = mark(database, "")
    own = statement.startswith(comment) if database else not statement.startswith("/* @")
    return statement[len(comment) :] if own else ""


def add_prefix(database: str, key: str) -> str:
    """`table users` of `stats` is `table @stats.users`."""
    if not database:
        return key
    kind = _KIND.match(key)
    start = kind.end() if kind else 0
    return key[:start] + name_of(database, key[start:])

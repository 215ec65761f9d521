"""Which statements are bound word for word: those whose text and values stand in the file that sends them.

Such a text can't rightly differ between a rehearsal, an approval and the migration, as the file can't: where it does,
the environment chose another one. What is computed, or read from the database (a uuid, the time, an id), may rightly
be another one each time: of that statement the form is compared, without its literals (`record.shape`).
"""

from __future__ import annotations

import re
from hashlib import sha256
from types import CodeType
from typing import Any

from .statements import COMMENTS

MARKS = re.compile(r"%\(\w+\)s|%s|(?<![:\w]):[a-z_]\w*|\$\d+|\?", re.IGNORECASE)
"""The drivers' marks for bound values."""

LITERALS = re.compile(r"'((?:[^']|'')*)'|(?<![\w.\"`$])(\d+(?:\.\d+)?)")
COMPOSED = re.compile(COMMENTS + r"(?:CREATE|ALTER|DROP|COMMENT|INSERT)\b", re.IGNORECASE | re.DOTALL)
"""What Alembic makes of arguments: it stands in no file as it is sent, its literals do."""

INSERT = re.compile(COMMENTS + r"INSERT\b", re.IGNORECASE | re.DOTALL)
CREATE_TABLE = re.compile(COMMENTS + r"CREATE (?:\w+ )*TABLE\b", re.IGNORECASE | re.DOTALL)
TOKENS = re.compile(r"'(?:[^']|'')*'|\w+|[^\w\s]")


class Constants:
    """The constants of each file that was compiled."""

    def __init__(self, codes: dict[str, CodeType]) -> None:
        self.codes = codes
        self._of_file: dict[str, set[Any]] = {}

    def bind(self, file: str | None, statement: str, parameters: Any, executemany: bool) -> str:
        """A digest of text and values; "" where one of them does not stand in the file."""
        code = self.codes.get(file or "")
        if file is None or code is None:
            return ""
        if file not in self._of_file:
            self._of_file[file] = set(flatten(code))
        known = self._of_file[file]
        text = normalized(statement)
        values = [value for one in (parameters if executemany else [parameters]) for value in values_of(one)]
        if text not in known and not (COMPOSED.match(statement) or not LITERALS.search(text)):
            return ""
        if text not in known and any(literal not in known for literal in literals_of(text)):
            return ""
        if values and not (INSERT.match(statement) and all(is_constant(value, known) for value in values)):
            return ""
        if CREATE_TABLE.match(statement):
            # Alembic's batch mode takes a table's constraints from a set of objects: another order in each process
            text = " ".join(sorted(TOKENS.findall(text)))
        return sha256(f"{text}\0{values!r}".encode("utf-8", "replace")).hexdigest()[:16]


def flatten(code: CodeType) -> list[Any]:
    """All texts and numbers in it, and in the functions in it."""
    found: list[Any] = []
    rest: list[Any] = list(code.co_consts)
    while rest:
        value = rest.pop()
        if isinstance(value, CodeType):
            rest += value.co_consts
        elif isinstance(value, (tuple, frozenset)):
            rest += value
        elif isinstance(value, str):
            found += [normalized(value), value]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(repr(value))
    return found


def normalized(text: str) -> str:
    """A text without what drivers make of it: their marks, doubled percent signs, line breaks."""
    return " ".join(MARKS.sub("?", text.replace("%%", "%")).split())


def literals_of(text: str) -> list[str]:
    """The texts and numbers in a statement."""
    return [number or quoted.replace("''", "'") for quoted, number in LITERALS.findall(text)]


def values_of(parameters: Any) -> list[Any]:
    """The bound values of one statement."""
    return list(parameters.values() if isinstance(parameters, dict) else parameters or ())


def is_constant(value: Any, known: set[Any]) -> bool:
    """Whether a bound value stands in the file. What is none of these kinds was computed."""
    if value is None or isinstance(value, bool):
        return True
    return value in known if isinstance(value, str) else type(value) in (int, float) and repr(value) in known

"""Which statements are bound word for word: those whose text and values stand in the file that sends them.

Such a text can't rightly differ between a rehearsal, an approval and the migration, as the file can't: where it does,
the environment chose another one. What is computed, or read from the database (a uuid, the time, an id), may rightly
be another one each time: of that statement the form is compared, without its literals (`forms.form`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from hashlib import sha256
from types import CodeType
from typing import Any

from .forms import creates_table
from .tokens import NAME, NUMBER, TEXT, WORD, Dialect, Token, tokens_of

MARKS = re.compile(r"%\(\w+\)s|%s|(?<![:\w]):[a-z_]\w*|\$\d+|\?", re.IGNORECASE)
"""The drivers' marks for bound values."""

COMPOSED = ("CREATE", "ALTER", "DROP", "COMMENT", "INSERT")
"""What Alembic makes of arguments: it stands in no file as it is sent, its literals do."""


class Constants:
    """The constants of each file that was compiled."""

    def __init__(self, codes: dict[str, CodeType]) -> None:
        self.codes = codes
        self._of_file: dict[str, set[Any]] = {}

    def bind(
        self,
        file: str | None,
        statement: str,
        dialect: Dialect,
        parameters: Any,
        executemany: bool,
        own: Collection[str] = (),
    ) -> str:
        """A digest of text and values; "" where one of them does not stand in the file."""
        code = self.codes.get(file or "")
        if file is None or code is None:
            return ""
        if file not in self._of_file:
            self._of_file[file] = set(flatten(code))
        known = self._of_file[file]
        text = normalized(statement)
        values = [value for one in (parameters if executemany else [parameters]) for value in values_of(one)]
        tokens = tokens_of(statement, dialect)
        if text not in known and any(t.kind in (WORD, NAME) and t.value in own for t in tokens):
            return ""  # it names the database, which is called otherwise in a dry run
        literals = literals_of(tokens, dialect)
        first = tokens[0] if tokens else None
        if text not in known and literals and not (first and first.is_word(*COMPOSED)):
            return ""
        if text not in known and any(literal not in known for literal in literals):
            return ""
        inserts = first is not None and first.is_word("INSERT")
        if values and not (inserts and all(is_constant(value, known) for value in values)):
            return ""
        if creates_table(tokens):
            # Alembic's batch mode takes a table's constraints from a set of objects: another order in each process
            text = " ".join(sorted(t.text for t in tokens))
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
            found += [repr(value), repr(abs(value))]
    return found


def normalized(text: str) -> str:
    """A text without what drivers make of it: their marks, doubled percent signs, line breaks."""
    return " ".join(MARKS.sub("?", text.replace("%%", "%")).split())


def literals_of(tokens: Iterable[Token], dialect: Dialect) -> list[str]:
    """The texts and numbers in a statement, as a script would hold them; signs are left out."""
    escapes = {"mysql": dialect.backslashes, "postgresql": True}.get(dialect.engine, False)
    found = []
    for token in tokens:
        if token.kind == TEXT:
            # of PostgreSQL's texts only E'...' has such; who is wrong about it compares the form alone
            value = token.value.replace("%%", "%")
            found.append(re.sub(r"\\(.)", r"\1", value) if escapes and token.text[0] != "$" else value)
        elif token.kind == NUMBER:
            found.append(token.text)
    return found


def values_of(parameters: Any) -> list[Any]:
    """The bound values of one statement."""
    return list(parameters.values() if isinstance(parameters, dict) else parameters or ())


def is_constant(value: Any, known: set[Any]) -> bool:
    """Whether a bound value stands in the file. What is none of these kinds was computed."""
    if value is None or isinstance(value, bool):
        return True
    return value in known if isinstance(value, str) else type(value) in (int, float) and repr(value) in known

"""The form of a statement: what two rounds of a loop, or a rehearsal and the migration, have in common.

It has a statement's words, names and signs, and none of its values, white space and comments.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import sha256

from .tokens import MYSQL, NAME, NUMBER, PARAMETER, TEXT, WORD, Dialect, Token, tokens_of

VALUE = "?"
OWN = "the database"
CONSTANTS = ("NULL", "TRUE", "FALSE")
SIGNED_AFTER = (
    "AND", "BETWEEN", "BY", "CASE", "DEFAULT", "ELSE", "IN", "LIKE", "LIMIT", "NOT", "OFFSET", "ON", "OR", "RETURN",
    "SELECT", "SET", "THEN", "VALUES", "WHEN", "WHERE",
)  # fmt: skip
"""Words behind which a sign belongs to the number: a loop over -1 and 1 has one form."""


def form(sql: str, dialect: Dialect, own: Collection[str] = ()) -> str:
    """A digest, equal for all rounds of a loop over rows and for any number of rows in one statement.

    `own` are the names of the database: a copy has another one than the target.
    """
    tokens = tokens_of(sql, dialect)
    here = [t._replace(text=OWN) if t.kind in (WORD, NAME) and t.value in own else t for t in tokens]
    parts = list(_without_values(here))
    if creates_table(tokens):
        # Alembic's batch mode takes a table's constraints from a set of objects: another order in each process
        return _digest(sorted(parts))
    return _digest(_without_repeats(parts))


NUMBERS = re.compile(r"(?:[0-9a-f]{12,}|[0-9]{8,})(?:_?[0-9]{4,})*")
"""A time or a random number. The longer kind first: half of the random ones begin with a digit, some with eight."""


def form_but_for_numbers(sql: str) -> str:
    """As `form`, of MariaDB and MySQL: names that hold a time, or a random number, are equal whatever it is."""
    names = (
        t._replace(text=NUMBERS.sub("#", t.text)) if t.kind in (WORD, NAME) else t
        for t in tokens_of(sql, MYSQL)
    )
    return _digest(_without_repeats(_without_values(list(names))))


def creates_table(tokens: Sequence[Token]) -> bool:
    """Whether it is CREATE TABLE, of whatever kind."""
    kinds = (
        t
        for t in tokens[1:]
        if not t.is_word("TEMPORARY", "TEMP", "GLOBAL", "LOCAL", "UNLOGGED", "OR", "REPLACE")
    )
    found = next(kinds, None)
    return bool(tokens) and tokens[0].is_word("CREATE") and found is not None and found.is_word("TABLE")


def _digest(parts: Iterable[str]) -> str:
    return sha256(" ".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def _without_values(tokens: Sequence[Token]) -> Iterator[str]:
    for number, token in enumerate(tokens):
        if token.kind in (TEXT, NUMBER, PARAMETER) or token.is_word(*CONSTANTS):
            yield VALUE
        elif not (token.is_mark("-+") and _is_sign(tokens, number)):
            yield token.text


def _is_sign(tokens: Sequence[Token], number: int) -> bool:
    """Whether this plus or minus belongs to the number behind it."""
    if number + 1 == len(tokens) or tokens[number + 1].kind != NUMBER or not number:
        return False
    before = tokens[number - 1]
    return before.is_mark("(,=<>[") or (before.kind == WORD and before.is_word(*SIGNED_AFTER))


def _without_repeats(parts: Iterable[str]) -> list[str]:
    """`VALUES (?, ?), (?, ?)` and `IN (?, ?, ?)` with one row and one value: as many come as there are."""
    lists: list[list[str]] = [[]]
    for part in parts:
        if part == ")" and len(lists) > 1:
            inner = lists.pop()
            _fold(inner)
            lists[-1].append("( {} )".format(" ".join(inner)))
        elif part == "(":
            lists.append([])
            continue
        else:
            if part == ",":
                _fold(lists[-1])
            lists[-1].append(part)
    for each in lists:
        _fold(each)
    return [part for n, each in enumerate(lists) for part in ([*each] if n == 0 else ["(", *each])]


def _fold(parts: list[str]) -> None:
    """Drop the last item of a list where the one before it is the same value, or the same row."""
    commas = [n for n in range(len(parts) - 1, -1, -1) if parts[n] == ","][:1]
    if not commas:
        return
    at = commas[0]
    item = parts[at + 1 :]
    same = bool(item) and parts[max(0, at - len(item)) : at] == item
    if same and (item[0] == VALUE or (len(item) == 1 and item[0].startswith("("))):
        del parts[at:]

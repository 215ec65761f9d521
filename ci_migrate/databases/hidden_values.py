"""What stood in a row is left out of an error that a mask or an assertion met."""

import re

BY_PEOPLE = re.compile(r"\((?:SQLSTATE (?:P0|45)\w+|164[34])\)$")
"""How `Database.explain` ends of a RAISE or SIGNAL: a text that somebody wrote, with values put into it."""

QUOTED = re.compile(r"(['\"])(.*?)\1", re.DOTALL)
FIRST_TO_LAST = re.compile(r"(['\"]).*\1", re.DOTALL)
"""Servers double no quote in a value."""


def hide_values(words: str, sql: str) -> str:
    """The words of `Database.explain` with `***` for what is quoted and stands nowhere in the SQL as a whole word."""
    told = BY_PEOPLE.search(words)
    if told is not None:
        return f"*** {told[0]}"
    if all(re.search(rf"(?<!\w){re.escape(m[2])}(?!\w)", sql) for m in QUOTED.finditer(words)):
        return words
    return FIRST_TO_LAST.sub(r"\1***\1", words)

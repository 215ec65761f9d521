"""Into which tables and columns a statement of a migration writes rows. What is not understood is never harmless."""

import re

Written = tuple[tuple[str, ...], frozenset[str] | None]
"""A table, and the columns that are set; None for whole rows."""

_QUOTES = (
    r"\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|(?<==)\s*\"(?:[^\"\\]|\\.|\"\")*\"|/\*(?!!).*?\*/"  # MySQL runs /*! */
)
_STANDARD = re.compile(_QUOTES + r"|'(?:[^']|'')*'|--[^\n]*", re.DOTALL)
_ESCAPED = re.compile(_QUOTES + r"|'(?:[^'\\]|\\.|'')*'|(?:--\s|#)[^\n]*", re.DOTALL)
"""Texts and comments, where a backslash means itself and where it escapes: nobody knows how a server is set."""

_GROUP = re.compile(r"\([^()]*\)")
_PART = r'(?:"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|\w+)'
_NAME = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HARMLESS = re.compile(
    r"(CREATE|COMMENT|GRANT|SET|SHOW|PRAGMA|BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|LOCK|UNLOCK|ANALYZE|USE"
    r"|DESCRIBE|DESC)\b",
    re.IGNORECASE | re.DOTALL,
)
_PROGRAM = re.compile(
    r"CREATE\b.*\b(TRIGGER|FUNCTION|PROCEDURE|EVENT)\b.*\bBEGIN\b", re.IGNORECASE | re.DOTALL
)
# MariaDB's CREATE OR REPLACE TABLE drops the old table with its rows
_REPLACES = re.compile(r"CREATE\s+OR\s+REPLACE\s+TABLE\b", re.IGNORECASE)
_ALTER = re.compile(r"ALTER\s+(TABLE|INDEX|VIEW|TYPE)\b", re.IGNORECASE)
_MORE_THAN_ADDS = re.compile(
    r"\b(DROP|MODIFY|CHANGE|RENAME|TRUNCATE|EXCHANGE|CONVERT|ORDER\s+BY)\b", re.IGNORECASE
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"|`(?:[^`]|``)*`')
_INSERT = re.compile(rf"INSERT\s+INTO\s+({_NAME})", re.IGNORECASE)
_UPDATE = re.compile(
    rf"UPDATE\s+(?:ONLY\s+)?({_NAME})(?:\s+(?:AS\s+)?(?!SET\b)\w+)?\s+SET\s+(.*)", re.IGNORECASE | re.DOTALL
)
_REST = re.compile(r"\b(FROM|WHERE|ORDER\s+BY|LIMIT|RETURNING)\b.*", re.IGNORECASE | re.DOTALL)
_UPSERT = re.compile(r"\bON\s+(CONFLICT|DUPLICATE)\b", re.IGNORECASE)


def writes_to(sql: str) -> list[Written] | None:
    """The tables whose rows a statement writes, [] for none; None where that can't be told.

    A SELECT can't be told: the child leaves those out of the stream that are known to read only.
    """
    texts = [_without_literals(sql, quotes) for quotes in (_STANDARD, _ESCAPED)]
    # a quote that is left says that a server which reads it so would have refused it
    readings = [_all(text) for text in texts if "'" not in text]
    return readings[0] if readings and readings.count(readings[0]) == len(readings) else None


def _all(text: str) -> list[Written] | None:
    if _PROGRAM.match(text):
        return []
    found: list[Written] = []
    for one in filter(None, (part.strip() for part in text.split(";"))):
        written = _one(one)
        if written is None:
            return None
        found += written
    return found


def _one(text: str) -> list[Written] | None:
    if _REPLACES.match(text):
        return None
    if _HARMLESS.match(text):
        return []
    if _ALTER.match(text):
        return None if _MORE_THAN_ADDS.search(_QUOTED.sub(" ", text)) else []
    if found := _INSERT.match(text):
        return None if _UPSERT.search(text) else [(_split(found[1]), None)]
    if found := _UPDATE.match(text):
        columns = [_split(item.partition("=")[0].strip()) for item in _REST.sub("", found[2]).split(",")]
        return [(_split(found[1]), frozenset(c[-1] for c in columns if c))] if all(columns) else None
    return None


def _without_literals(sql: str, quotes: re.Pattern[str]) -> str:
    """A statement without texts and comments, and with all that stands in parentheses taken out."""
    text = quotes.sub(" ? ", sql).strip()
    # from the inside: a subquery has a FROM and a SET of its own
    while (shorter := _GROUP.sub(" ", text)) != text:
        text = shorter
    return text.removeprefix("?").strip()


def _split(name: str) -> tuple[str, ...]:
    """A name in SQL in its parts, without quotes; () if it is none."""
    if not re.fullmatch(_NAME, name):
        return ()
    return tuple(p[1:-1] if p[0] in '"`[' else p for p in re.findall(_PART, name))

"""What changed in the definition of a schema object, in words: for people, who do not read two long texts twice."""

import re

LIMIT = 160
"""Characters of a definition that are shown whole; of longer ones, only where they differ."""

_ATTRIBUTES = (
    *("NOT NULL", "NULL", "DEFAULT", "COLLATE", "CHARACTER SET", "CHARSET", "GENERATED", "AUTO_INCREMENT"),
    *("ON UPDATE", "COMMENT", "STORAGE", "COMPRESSION", "STATISTICS", "INVISIBLE", "WITH"),
)
_NO_TYPE = ("NOT NULL", "NULL", "DEFAULT", "COLLATE", "GENERATED")
"""Attributes that a definition without a type may begin with; the others are names of types in places (PostgreSQL)."""
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
_GROUP = re.compile(r"\([^()]*\)")
_ZONE = r"(?!\s+(?:LOCAL\s+)?TIME\s+ZONE\b)"
_BEGINS = re.compile(
    rf"(?:^(?:{'|'.join(_NO_TYPE)})|(?<=\s)(?:{'|'.join(_ATTRIBUTES)}){_ZONE})\b", re.IGNORECASE
)


def describe_change(name: str, before: str | None, after: str | None) -> str:
    """One object that changed: `column users.email: type was varchar(255), is varchar(64)`.

    Args:
        name: of the object, with its kind.
        before: its definition; None where it did not exist.
        after: the same, afterwards.
    """
    if before is None:
        return f"{name} added"
    if after is None:
        return f"{name} removed"
    parts = _column_parts(before, after) if name.startswith("column ") else []
    if not parts:
        was, is_ = _where_they_differ(before, after)
        parts = [f"was {was}, is {is_}" if was != is_ else f"{was} is written with other white space"]
    return f"{name}: {', '.join(parts)}"


def _column_parts(before: str, after: str) -> list[str]:
    """Type and attributes that differ; [] where they are written twice or in another order only."""
    was, is_ = attributes(before), attributes(after)
    words = []
    for key in dict.fromkeys((*was, *is_)):
        old, new = was.get(key), is_.get(key)
        if old == new:
            continue
        if key == "type":
            words.append(f"type was {old}, is {new}")
        elif key == "NOT NULL":
            words.append("can be NULL now" if new is None else "can't be NULL any more")
        elif old is None or new is None:
            words.append(f"{new} is new" if old is None else f"{old} is gone")
        else:
            words.append(f"{old} became {new}")
    return words


def mentions(sql: str, name: str) -> bool:
    """Whether a name stands in SQL as a word of its own, in any case: by the text alone, so in a comment too."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE) is not None


def attributes(definition: str) -> dict[str, str]:
    """`varchar(64) NOT NULL DEFAULT 'x'` as type and attributes, each with its own words."""
    masked = definition
    for pattern in (_QUOTED, *[_GROUP] * 8):  # groups within groups, from the inside
        masked = pattern.sub(lambda found: "~" * len(found.group()), masked)
    starts = [found.start() for found in _BEGINS.finditer(masked)]
    ends = [*starts[1:], len(definition)][: len(starts)]
    found = {"type": definition[: starts[0] if starts else None].strip()}
    for start, end in zip(starts, ends, strict=True):
        text = definition[start:end].strip()
        name = next(word for word in _ATTRIBUTES if text.upper().startswith(word))
        found[name] = f"{found[name]} {text}" if name in found else text
    return found


def shorten(text: str, start: int = 0) -> str:
    """At most `LIMIT` characters of a definition, on one line."""
    part = " ".join(text[start : start + LIMIT].split())
    return ("..." if start else "") + part + ("..." if len(text) > start + LIMIT else "")


def _where_they_differ(before: str, after: str) -> tuple[str, str]:
    """Both as they are where they are short, else the stretch in which they differ, with some of what is before it."""
    if len(before) <= LIMIT and len(after) <= LIMIT:
        return shorten(before), shorten(after)
    shorter = min(len(before), len(after))
    same = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    start = max(0, same - 30)
    return shorten(before, start), shorten(after, start)

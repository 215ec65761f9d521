"""The tables that a dry run changed, what changed in each, and the keys between them. Expects a cleaned Report."""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from ci_migrate.databases.names import parts
from ci_migrate.model import Evidence, ObjectKind, SchemaChange, names_of, plural

ADDED, GONE, OTHERWISE = "+", "\N{MINUS SIGN}", "~"
"""Signs of a line, so that nobody needs its colour."""

_NAME = r'(?:"(?:[^"]|"")*"|[^\s".()]+)'
_TABLE = rf"{_NAME}(?:\.{_NAME})*"
_NAMED = rf"CONSTRAINT {_NAME} "
_LIST = r'\((?P<columns>(?:"(?:[^"]|"")*"|[^()"])*)\)'
_FOREIGN_KEY = re.compile(
    rf"(?:{_NAMED})?(?:FOREIGN KEY )?{_LIST} REFERENCES (?P<table>{_TABLE})"
    rf"(?: ?{_LIST.replace('columns', 'theirs')})?(?P<rest>.*)",
    re.IGNORECASE,
)
_INDEX_OF = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?:ONLY )?(?P<table>{_TABLE}) USING ")
"""An index of PostgreSQL, whose key names no table."""

_KEY = re.compile(
    r"(?P<kind>table|column|constraint|primary key|foreign key|check|index|trigger) (?P<name>.*)", re.DOTALL
)


class Fate(StrEnum):
    """What became of a table. The picture begins with what can't be undone."""

    DROPPED = "dropped"
    CHANGED = "changed"
    NEW = "new"
    SAME = "not changed"


class Line(NamedTuple):
    """One change in a table; `to` is the table that a foreign key leads to, "" where it is none."""

    sign: str
    text: str
    to: str = ""


class TouchedTable(NamedTuple):
    """A table that changed; `rows` are those that it held before, in words, "" where nobody counted."""

    name: str
    fate: Fate
    rows: str
    lines: tuple[Line, ...]


class Touched(NamedTuple):
    """All that changed in tables; tables that did not, and to which keys lead; the kinds of whatever else changed."""

    tables: tuple[TouchedTable, ...]
    beside: tuple[str, ...]
    others: tuple[str, ...]


Known = Mapping[tuple[str, ...], str]
"""The tables before and after, by the parts of their names: definitions may quote where the key does not."""


def touched_tables(evidence: Evidence) -> Touched:
    """The tables that changed, dropped ones first. Whatever belongs to no known table is among `others`."""
    names = (*evidence.before.objects, *evidence.after.objects, *(change.name for change in evidence.changes))
    known = {parts(name): name for name in names_of(ObjectKind.TABLE, names)}
    found: dict[str, list[tuple[str, SchemaChange]]] = {}
    others = []
    for change in evidence.changes:
        key = _KEY.fullmatch(change.name)
        table = _owner(key["name"], change, known) if key else ""
        if key and table:
            found.setdefault(table, []).append((key["kind"], change))
        else:
            others.append(change.name.partition(" ")[0])
    tables = [_table(name, members, evidence, known) for name, members in found.items()]
    order = list(Fate)
    tables.sort(key=lambda table: (order.index(table.fate), not _loses(table), table.name))
    led_to = dict.fromkeys(line.to for table in tables for line in table.lines)
    beside = (name for name in led_to if name in known.values() and name not in found)
    return Touched(tuple(tables), tuple(beside), tuple(others))


def in_words(touched: Touched) -> str:
    """`1 table dropped, 2 changed, 1 new; foreign keys: 2 new, 1 gone`."""
    fates = [table.fate for table in touched.tables]
    counts = [(fates.count(fate), fate.value) for fate in Fate if fate in fates]
    (first, fate), *rest = counts
    words = ", ".join((f"{plural(first, 'table')} {fate}", *(f"{n:,} {word}" for n, word in rest)))
    signs = [line.sign for table in touched.tables for line in table.lines if line.to]
    named = {ADDED: "new", GONE: "gone", OTHERWISE: "changed"}
    keys = ", ".join(f"{signs.count(sign):,} {word}" for sign, word in named.items() if sign in signs)
    return f"{words}; foreign keys: {keys}" if keys else words


def _loses(table: TouchedTable) -> bool:
    return any(line.sign == GONE for line in table.lines)


def _owner(name: str, change: SchemaChange, known: Known) -> str:
    """The longest known table that the name begins with; for an index that names none, the one in its definition."""
    index = _INDEX_OF.match(change.after or change.before or "")
    if index:
        return known.get(parts(_beside(name, index["table"])), "")
    ends = [at for at, letter in enumerate(name) if letter == "."]
    tables = (known.get(parts(name[:end])) for end in (len(name), *reversed(ends)))
    return next((table for table in tables if table and name.startswith(table)), "")


def _beside(name: str, table: str) -> str:
    """What the definition of `name` calls a table; it leaves out the database where there are several."""
    database = name.partition(".")[0] if name.startswith("@") else ""
    return f"{database}.{table}" if database else table


def _table(
    name: str, members: list[tuple[str, SchemaChange]], evidence: Evidence, known: Known
) -> TouchedTable:
    itself = next((change for kind, change in members if kind == "table"), None)
    fate = Fate.CHANGED
    if itself is not None and itself.before is None:
        fate = Fate.NEW
    elif itself is not None and itself.after is None:
        fate = Fate.DROPPED
    counted = evidence.row_counts_before.get(name)
    rows = f"{'' if counted.exact else '~'}{plural(counted.rows, 'row')}" if counted else ""
    constraints = {change.name.rpartition(".")[2] for kind, change in members if kind == "constraint"}
    lines = [
        _line(kind, name, change, known)
        for kind, change in sorted(members, key=lambda member: _place(*member))
        if not (kind == "table" and fate is not Fate.CHANGED)
        # PostgreSQL keeps a key twice: as a constraint, and as the index that it made for it
        and not (kind == "index" and change.name.rpartition(".")[2] in constraints)
    ]
    return TouchedTable(name, fate, rows, tuple(lines))


def _place(kind: str, change: SchemaChange) -> tuple[int, int, str]:
    """Columns first, and of them those that go."""
    kinds = ("table", "column", "primary key", "foreign key", "constraint", "check", "index", "trigger")
    weight = 0 if change.after is None else 1 if change.before is not None else 2
    return kinds.index(kind), weight, change.name


def _line(kind: str, table: str, change: SchemaChange, known: Known) -> Line:
    sign = ADDED if change.before is None else GONE if change.after is None else OTHERWISE
    definition = " ".join((change.after if change.after is not None else change.before or "").split())
    own = change.name[len(kind) + 1 :].removeprefix(table if kind == "table" else f"{table}.")
    key = _FOREIGN_KEY.match(definition) if kind in ("constraint", "foreign key") else None
    if key:
        to = _beside(table, key["table"])
        return Line(
            sign,
            f"{key['columns']} \N{RIGHTWARDS ARROW} {key['table']}{key['rest']}",
            known.get(parts(to), to),
        )
    if sign == OTHERWISE:
        return Line(sign, f"{own or 'table'}: {change.words.removeprefix(change.name).removeprefix(': ')}")
    if kind == "column":
        return Line(sign, f"{own} {definition}")
    if kind in ("index", "trigger"):
        return Line(sign, f"{kind} {own}")
    bare = re.sub(f"^{_NAMED}", "", definition)
    return Line(sign, bare if kind == "constraint" else f"{kind} {bare}")

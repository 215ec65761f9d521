"""What a scratch copy came to, and what differs between two: nothing may, where a baseline is to be proved."""

import re
from dataclasses import dataclass

from ci_migrate.databases.base import Database
from ci_migrate.databases.baselines import MakesBaselines
from ci_migrate.migrations.record import RECORDS, version_table_names
from ci_migrate.model import Plan, Schema, SchemaChange, TableContent, name_some, schema_changes, show_heads
from ci_migrate.run.run import heads_of, schema_of, translate_errors

_CAST = re.compile(
    r"::(?:[a-z_][\w$]*|\"(?:[^\"]|\"\")*\")(?:\.(?:[a-z_][\w$]*|\"(?:[^\"]|\"\")*\"))?"
    r"(?: varying| precision| with(?:out)? time zone)?(?:\(\d+(?:,\s*\d+)?\))?(?: with(?:out)? time zone)?(?:\[\])*"
)


@dataclass(frozen=True)
class Seen:
    """All that can be compared of a copy. Contents are without the version table, whose rows are `heads`."""

    schema: Schema
    contents: dict[str, TableContent]
    uncounted: dict[str, int]
    positions: dict[str, str]
    heads: tuple[tuple[str, ...], ...]

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(content.rows for content in self.contents.values())


def look_at(copy: Database, plan: Plan) -> Seen:
    """Read all of it."""
    assert isinstance(copy, MakesBaselines)
    with translate_errors(copy):
        counts = copy.counts(exact=True)
        own = version_table_names(plan)
        contents = copy.contents([name for name in counts if name not in own])
        return Seen(
            # what a revision made of the version table's columns counts, too
            schema={name: text for name, text in schema_of(copy).items() if RECORDS not in name},
            contents=contents,
            uncounted={
                name: c.rows for name, c in counts.items() if name not in own and name not in contents
            },
            positions={
                name: at for name, at in copy.baseline_reader().positions().items() if RECORDS not in name
            },
            heads=heads_of(copy, plan),
        )


def differences(one: Seen, other: Seen, *, exact: bool) -> dict[str, str]:
    """What differs, by name, in words; {} where nothing does.

    Without `exact` a definition may be written otherwise, as the engine writes it when it reads its own text again:
    with other casts and parentheses.
    """
    found = {
        change.name: change.words
        for change in schema_changes(one.schema, other.schema)
        if exact or not _only_rewritten(change)
    }
    for name in sorted(one.contents.keys() | other.contents.keys()):
        words = _contents(name, one.contents.get(name), other.contents.get(name))
        if words:
            found[f"table {name}"] = words
    for name, rows in one.uncounted.items():
        if other.uncounted.get(name, rows) != rows:
            found[f"table {name}"] = f"table {name} has {rows} rows and {other.uncounted[name]}"
    for name in sorted(one.positions.keys() | other.positions.keys()):
        was, is_ = one.positions.get(name, "none"), other.positions.get(name, "none")
        if was != is_:
            found[name] = f"{name}: {was}, and {is_}"
    if one.heads != other.heads:
        found["version rows"] = f"version rows: {show_heads(one.heads)}, and {show_heads(other.heads)}"
    return found


def _only_rewritten(change: SchemaChange) -> bool:
    if change.before is None or change.after is None:
        return False
    return _plain(change.before) == _plain(change.after)


def _plain(definition: str) -> str:
    """Without casts, parentheses and white space."""
    return re.sub(r"[()\s]", "", _CAST.sub("", definition))


def _contents(name: str, one: TableContent | None, other: TableContent | None) -> str:
    if one is None or other is None:
        return f"table {name} can be read in one of both alone"
    if one.rows != other.rows:
        return f"table {name} has {one.rows} rows and {other.rows}"
    if one.digest is None or other.digest is None:
        return f"the rows of table {name} can't be compared"
    if one.digest == other.digest:
        return ""
    columns = [column for column, held in one.columns.items() if held != other.columns.get(column)]
    return f"table {name} holds other values" + (f" in {name_some(columns)}" if columns else "")

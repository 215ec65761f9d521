"""What a release's models expect and a database does not give: pure functions of models and reflected tables."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from ci_migrate.migrations.events import ModelColumn, ModelTable, ReleaseModels
from ci_migrate.model import Misfit, MisfitKind, Statement, list_some
from ci_migrate.rehearsal.deployed.reflection import Column, Reflected, Relation
from ci_migrate.rehearsal.deployed.types import ENGINES, ColumnType, Engine, narrower, parse_type, takes
from ci_migrate.schema_text import mentions

Key = tuple[MisfitKind, str, str, str]
"""Kind, table, column, and what of it."""

_CHANGES = re.compile(r"\b(?:ALTER|DROP|CREATE|RENAME|EXEC|CALL)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sides:
    """One database before and after the migration."""

    before: Reflected
    after: Reflected


def new_misfits(models: ReleaseModels, sides: Sides) -> list[Misfit]:
    """What the migration makes of it: what did not fit before either is not among it."""
    before, after = (misfits(models, side) for side in (sides.before, sides.after))
    engine = ENGINES[sides.after.dialect]
    found = [
        misfit for key, misfit in after.items() if key not in before or _worse(engine, models, sides, key)
    ]
    return [*found, *_new_constraints(models, sides)]


def lasting_misfits(models: ReleaseModels, deployed: ReleaseModels, sides: Sides) -> list[Misfit]:
    """What keeps an older release from working afterwards.

    Not what the deployed release did without before, since that works.
    """
    known = misfits(deployed, sides.before)
    return [misfit for key, misfit in misfits(models, sides.after).items() if key not in known]


def misfits(models: ReleaseModels, there: Reflected) -> dict[Key, Misfit]:
    """All that does not fit, by what it is about."""
    there = msgspec.structs.replace(there, schema=models.search_path or there.schema)
    found: dict[Key, Misfit] = {}
    for table in models.tables:
        for what, misfit in _of_table(table, there):
            found[misfit.kind, misfit.table, misfit.column, what] = misfit
    return found


def _of_table(table: ModelTable, there: Reflected) -> Iterator[tuple[str, Misfit]]:
    name = full_name(table)
    relation = there.find(table.schema, table.name)
    if relation is None:
        yield "", Misfit(kind=MisfitKind.GONE, table=name, words=f"table {name} is not there")
        return
    if relation.view and not relation.writable:
        words = f"{name} is a view that takes no rows"
        yield "view", Misfit(kind=MisfitKind.REQUIRED, table=name, words=words)
    for own in table.columns:
        column = relation.columns.get(there.fold(own.name))
        if column is None:
            words = f"column {name}.{own.name} is not there"
            yield "", Misfit(kind=MisfitKind.GONE, table=name, column=own.name, words=words)
            continue
        if not relation.view:
            yield from _of_inserts(name, own, column)
            if column.nullable and not own.nullable:
                words = f"column {name}.{own.name} may be NULL, and the release takes it for NOT NULL"
                yield "may be null", Misfit(kind=MisfitKind.NULL, table=name, column=own.name, words=words,
                                            certain=False)  # fmt: skip
        yield from _of_type(ENGINES[there.dialect], name, own, column)
    own_names = {there.fold(one.name) for one in table.columns}
    for column_name, column in relation.columns.items():
        if column_name not in own_names and column.required and not relation.view:
            words = (
                f"column {name}.{column_name} is NOT NULL without a default, and the release does not know it"
            )
            if relation.filled:
                words += "; a trigger of the table may fill it"
            yield "new", Misfit(kind=MisfitKind.REQUIRED, table=name, column=column_name, words=words,
                                certain=not relation.filled)  # fmt: skip


def _of_inserts(table: str, own: ModelColumn, column: Column) -> Iterator[tuple[str, Misfit]]:
    """What becomes of a column that the release leaves out, or sets to NULL."""
    place = f"column {table}.{own.name}"
    if column.generated and not own.generated and not own.server_default:
        words = f"{place} is generated, and the release writes it"
        yield "generated", Misfit(kind=MisfitKind.REQUIRED, table=table, column=own.name, words=words)
    if column.nullable or column.generated:
        return
    if own.nullable:
        # SQLAlchemy's ORM sends NULL for what nobody set, unless it has a default or leaves it to the server
        fills = own.default or (own.server_default and column.default)
        words = f"{place} is NOT NULL, and the release may " + (
            "set it to NULL" if fills else "leave it NULL"
        )
        yield (
            "null",
            Misfit(kind=MisfitKind.REQUIRED, table=table, column=own.name, words=words, certain=not fills),
        )
    elif own.server_default and not own.default and not column.default:
        words = f"{place} has no default, and the release leaves it to the database"
        yield "default", Misfit(kind=MisfitKind.REQUIRED, table=table, column=own.name, words=words)


def _of_type(engine: Engine, table: str, own: ModelColumn, column: Column) -> Iterator[tuple[str, Misfit]]:
    wanted, there = parse_type(engine, ColumnType(own.type)), parse_type(engine, column.type)
    if wanted is None or there is None:
        return
    place, shown = f"column {table}.{own.name}", column.type.text
    if not takes(engine, wanted, there):
        words = f"{place} is {shown}, and the release takes it for {own.type}"
        loose = (wanted.family, there.family) in engine.loose
        yield (
            "family",
            Misfit(kind=MisfitKind.TYPE, table=table, column=own.name, words=words, certain=not loose),
        )
    elif wanted.family == there.family and narrower(there, wanted):
        words = f"{place} is {shown}, and the release writes {own.type}"
        yield "size", Misfit(kind=MisfitKind.TYPE, table=table, column=own.name, words=words)
    if own.values and column.type.values:
        yield from _of_values(table, own, column)


def _of_values(table: str, own: ModelColumn, column: Column) -> Iterator[tuple[str, Misfit]]:
    mine, theirs = set(own.values), set(column.type.values)
    place = f"column {table}.{own.name}"
    if mine - theirs:
        words = f"{place} takes no more {list_some([repr(one) for one in sorted(mine - theirs)])}"
        yield "values", Misfit(kind=MisfitKind.TYPE, table=table, column=own.name, words=words)
    if theirs - mine:
        # SQLAlchemy's Enum raises LookupError where a row has one; until somebody writes it, nothing happens
        more = list_some([repr(one) for one in sorted(theirs - mine)])
        words = f"{place} may hold {more}, which the release can't read"
        yield "more", Misfit(kind=MisfitKind.TYPE, table=table, column=own.name, words=words, certain=False)


def _worse(engine: Engine, models: ReleaseModels, sides: Sides, key: Key) -> bool:
    """Whether a type that did not quite fit before fits even less now."""
    kind, name, column, what = key
    if kind is not MisfitKind.TYPE:
        return False
    (table,) = (one for one in models.tables if full_name(one) == name)
    before, after = (
        relation.columns[side.fold(column)].type
        for side in (sides.before, sides.after)
        if (relation := side.find(table.schema or models.search_path, table.name)) is not None
    )
    if what in ("values", "more"):
        (own,) = (one for one in table.columns if one.name == column)
        gone, came = set(before.values) - set(after.values), set(after.values) - set(before.values)
        return bool(gone & set(own.values)) if what == "values" else bool(came - set(own.values))
    was, now = parse_type(engine, before), parse_type(engine, after)
    return was is not None and now is not None and (was.family != now.family or narrower(now, was))


def _new_constraints(models: ReleaseModels, sides: Sides) -> Iterator[Misfit]:
    """Constraints that came over columns that the release writes, and that it does not know."""
    for table in models.tables:
        schema = table.schema or models.search_path
        before, after = sides.before.find(schema, table.name), sides.after.find(schema, table.name)
        if before is None or after is None:
            continue
        fold = sides.after.fold
        own = {fold(one.name) for one in table.columns}
        for columns, what in _unknown(table, before, after):
            # a new column that it leaves NULL, or to a default, breaks nothing
            touched = sorted(own & {fold(column) for column in columns})
            if touched:
                name = full_name(table)
                yield Misfit(kind=MisfitKind.CONSTRAINT, table=name, column=touched[0], certain=False,
                             words=f"{name} has {what}, which the release does not know")  # fmt: skip


def _unknown(table: ModelTable, before: Relation, after: Relation) -> Iterator[tuple[Iterable[str], str]]:
    for columns in sorted({*after.unique} - {*before.unique} - {*table.unique}):
        yield columns, f"a unique constraint on {', '.join(columns)}"
    for columns in sorted({*after.foreign_keys} - {*before.foreign_keys} - {*table.foreign_keys}):
        yield columns, f"a foreign key on {', '.join(columns)}"
    texts = set(before.checks.values())
    for name, check in sorted(after.checks.items()):
        # one that was rebuilt, or renamed, has its text; what an enum allows is told by its values
        if name not in before.checks and check not in texts and name not in table.checks:
            yield set(re.findall(r"\w+", re.sub(r"'[^']*'", "", check))), f"a check {name} ({check[:100]})"


def full_name(table: ModelTable) -> str:
    """The name of a table, behind that of its schema where it has one."""
    return f"{table.schema}.{table.name}" if table.schema else table.name


def with_places(
    found: Sequence[Misfit], statements: Sequence[Statement], pending: Sequence[str]
) -> tuple[Misfit, ...]:
    """Each with the last statement that may have made it so; with the only revision where there is one."""
    changes = [one for one in statements if _CHANGES.search(one.sql)]
    return tuple(_with_place(misfit, changes, pending) for misfit in found)


def _with_place(misfit: Misfit, changes: Sequence[Statement], pending: Sequence[str]) -> Misfit:
    table = misfit.table.rpartition(".")[2]
    about = [one for one in changes if not table or mentions(one.sql, table)]
    both = [one for one in about if not misfit.column or mentions(one.sql, misfit.column)]
    culprit = next(reversed(both or about), None)
    if culprit is None or culprit.revision is None:
        return msgspec.structs.replace(misfit, revision=pending[0]) if len(pending) == 1 else misfit
    return msgspec.structs.replace(misfit, revision=culprit.revision, file=culprit.file, line=culprit.line)


def first_break(found: Iterable[Misfit], order: Mapping[str, int]) -> int:
    """The place, in the plan's order, of the revision after which a release fails; as many as there are: none does.

    What no revision is known for may be the first one's.
    """
    places = [order.get(one.revision or "", 0) for one in found if one.certain]
    return min(places, default=len(order))

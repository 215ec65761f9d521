"""The tables of a copy as SQLAlchemy reflects them: what a release meets there."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, Enum, exc, inspect, text
from sqlalchemy.engine.reflection import Inspector, ObjectKind
from sqlalchemy.types import NullType

from ci_migrate.databases.base import Database
from ci_migrate.model import Frozen
from ci_migrate.rehearsal.deployed.types import ColumnType

_LISTS = re.compile(r"\bIN\s*\(|=\s*ANY\b", re.IGNORECASE)
_QUOTED = re.compile(r"'((?:[^']|'')*)'")
_LOGIC = re.compile(r"\b(?:OR|AND|NOT)\b", re.IGNORECASE)
_INSERTABLE = {
    "postgresql": "SELECT table_schema, table_name FROM information_schema.tables "
    "WHERE table_type = 'VIEW' AND is_insertable_into = 'YES'",
    "mysql": "SELECT NULL, table_name FROM information_schema.views "
    "WHERE table_schema = DATABASE() AND is_updatable = 'YES'",
    "sqlite": "SELECT NULL, tbl_name FROM sqlite_master "
    "WHERE type = 'trigger' AND upper(sql) LIKE '%INSTEAD OF INSERT%'",
}
_FILLED = {
    "postgresql": "SELECT event_object_schema, event_object_table FROM information_schema.triggers "
    "WHERE action_timing = 'BEFORE' AND event_manipulation = 'INSERT'",
    "mysql": "SELECT NULL, event_object_table FROM information_schema.triggers "
    "WHERE trigger_schema = DATABASE() AND action_timing = 'BEFORE' AND event_manipulation = 'INSERT'",
    "sqlite": "SELECT NULL, NULL WHERE 0",  # its triggers can't change a row that comes in
}


class Column(Frozen, frozen=True, kw_only=True):
    """A column. `default`: the server puts something in where an INSERT says nothing. `generated`: always."""

    type: ColumnType
    nullable: bool
    default: bool = False
    generated: bool = False

    @property
    def required(self) -> bool:
        """Whether an INSERT that does not name it is refused."""
        return not self.nullable and not self.default and not self.generated


class Relation(Frozen, frozen=True, kw_only=True):
    """A table, or a view. `writable`: rows can be inserted. `filled`: a trigger may set columns of a new row.

    Constraints are there by their columns, sorted; checks by their names, with the columns and texts that they name.
    """

    columns: dict[str, Column]
    view: bool = False
    writable: bool = True
    filled: bool = False
    unique: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[tuple[str, ...], ...] = ()
    checks: dict[str, str] = msgspec.field(default_factory=dict)


class Reflected(Frozen, frozen=True, kw_only=True):
    """One database. Names are in small letters where the engine does not tell them apart."""

    dialect: str
    schema: str | None
    """What names without a schema mean (PostgreSQL)."""
    relations: dict[tuple[str | None, str], Relation]

    def find(self, schema: str | None, name: str) -> Relation | None:
        """The relation that a release calls so."""
        if self.dialect != "postgresql":
            return self.relations.get((None, self.fold(name)))
        return self.relations.get((schema or self.schema, name))

    def fold(self, name: str) -> str:
        """A name as it is a key here."""
        return name if self.dialect == "postgresql" else name.lower()


def reflect(database: Database) -> Reflected:
    """All tables and views of one database.

    Raises:
        sqlalchemy.exc.DBAPIError: it can't be read.
    """
    engine = database.engine(read_only=True)
    with engine.connect() as connection, warnings.catch_warnings():
        # of types that SQLAlchemy does not know: nothing is said of them
        warnings.simplefilter("ignore", exc.SAWarning)
        look = inspect(connection)
        relations: dict[tuple[str | None, str], Relation] = {}
        schemas: list[str | None] = [None]
        if database.dialect == "postgresql":
            schemas = [name for name in look.get_schema_names() if name != "information_schema"]
        insertable, filled = (_keys(connection, asked[database.dialect]) for asked in (_INSERTABLE, _FILLED))
        found = Reflected(dialect=database.dialect, schema=look.default_schema_name, relations=relations)
        for schema in schemas:
            views = {*look.get_view_names(schema=schema)}
            if database.dialect == "postgresql":
                views |= {*look.get_materialized_view_names(schema=schema)}
            for key, relation in _of_schema(look, schema):
                name = key[1]
                view = name in views
                place = (schema, name)
                relations[schema, found.fold(name)] = msgspec.structs.replace(
                    relation,
                    view=view,
                    writable=not view or place in insertable,
                    filled=place in filled,
                    columns={found.fold(n): column for n, column in relation.columns.items()},
                )
    engine.dispose()
    return found


def _keys(connection: Connection, query: str) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.execute(text(query))}


def _of_schema(look: Inspector, schema: str | None) -> list[tuple[tuple[str | None, str], Relation]]:
    columns = look.get_multi_columns(schema=schema, kind=ObjectKind.ANY)
    unique = look.get_multi_unique_constraints(schema=schema)
    indexes = look.get_multi_indexes(schema=schema)
    keys = look.get_multi_foreign_keys(schema=schema)
    checks = look.get_multi_check_constraints(schema=schema)
    dialect = look.dialect
    found = []
    for key, listed in columns.items():
        limits = {str(one["name"]): str(one["sqltext"]) for one in checks.get(key) or ()}
        together: list[Any] = [one["column_names"] for one in unique.get(key) or ()]
        together += [one["column_names"] for one in indexes.get(key) or () if one["unique"]]
        relation = Relation(
            columns={one["name"]: _column(one, dialect, limits) for one in listed},
            unique=_sorted(together),
            foreign_keys=_sorted(one["constrained_columns"] for one in keys.get(key) or ()),
            checks=limits,
        )
        found.append((key, relation))
    return found


def _sorted(constraints: Any) -> tuple[tuple[str, ...], ...]:
    """By their columns; an expression's index has None among them."""
    named = [tuple(sorted(names)) for names in constraints if names and None not in names]
    return tuple(sorted(set(named)))


def _column(one: Mapping[str, Any], dialect: Any, checks: Mapping[str, str]) -> Column:
    from sqlalchemy.dialects.postgresql import DOMAIN  # a twentieth of what every command would import

    identity = one.get("identity") or {}
    type_ = one["type"]
    while isinstance(type_, DOMAIN):
        type_ = type_.data_type
    if isinstance(type_, Enum):
        made = ColumnType("ENUM", tuple(type_.enums))
    else:
        made = ColumnType(_text(type_, dialect), _listed(one["name"], checks))
    counts = bool(one.get("primary_key")) and made.text == "INTEGER" and dialect.name == "sqlite"
    counts = counts or one.get("autoincrement") is True
    return Column(
        type=made,
        nullable=bool(one["nullable"]),
        default=one.get("default") is not None or bool(identity) or counts,
        generated=one.get("computed") is not None or bool(identity.get("always")),
    )


def _text(type_: Any, dialect: Any) -> str:
    if isinstance(type_, NullType):
        return ""
    try:
        return str(type_.compile(dialect=dialect))
    except exc.SQLAlchemyError:
        return ""


def _listed(column: str, checks: Mapping[str, str]) -> tuple[str, ...]:
    """The texts that a check alone allows for a column: what an Enum is where the engine has no type for it."""
    for check in checks.values():
        bare = _QUOTED.sub("''", check)
        alone = re.search(rf"(?<!\w){re.escape(column)}(?!\w)", bare) and not _LOGIC.search(bare)
        if alone and _LISTS.search(bare):
            return tuple(value.replace("''", "'") for value in _QUOTED.findall(check))
    return ()

"""The table, and the key along which it is divided into batches."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .connection import MYSQL, Commits
from .problems import BackfillError

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    """What is divided into batches: names as SQL has them."""

    name: str
    full: str
    key: tuple[str, ...]
    total: int | None
    rows_compare: bool  # whether `(a, b) > (x, y)` makes use of an index

    @property
    def order(self) -> str:
        """The key, as ORDER BY wants it."""
        return ", ".join(self.key)

    @property
    def backwards(self) -> str:
        """The same, from its end."""
        return ", ".join(column + " DESC" for column in self.key)

    def compare(self, sign: str, prefix: str) -> str:
        """The key against bound values, `:prefix0` and so on: `>`, `>=` or `<=`."""
        marks = [f":{prefix}{n}" for n in range(len(self.key))]
        if len(self.key) == 1:
            return f"{self.key[0]} {sign} {marks[0]}"
        if self.rows_compare:
            return f"({self.order}) {sign} ({', '.join(marks)})"
        last = f"{self.key[-1]} {sign} {marks[-1]}"
        for column, mark in reversed(list(zip(self.key, marks))[:-1]):
            last = f"({column} {sign[0]} {mark} OR ({column} = {mark} AND {last}))"
        return f"({self.key[0]} {sign[0]}= {marks[0]} AND {last})"  # what an index can be searched by


def look_at_table(
    commits: Commits, name: str, table: str, schema: str | None, key: str | Sequence[str] | None
) -> Table:
    """Find the key, and refuse what can't be divided into batches. Raises BackfillError."""
    inspector: Any = sa.inspect(commits.connection)
    if not inspector.has_table(table, schema=schema):
        raise BackfillError(f"Backfill {name!r}: there is no table {table}.")
    primary = inspector.get_pk_constraint(table, schema=schema).get("constrained_columns") or []
    columns = list(primary) if key is None else [key] if isinstance(key, str) else list(key)
    nullable = {c["name"]: c["nullable"] for c in inspector.get_columns(table, schema=schema)}
    unique = [primary] + [
        i["column_names"] for i in inspector.get_indexes(table, schema=schema) if i["unique"]
    ]
    unique += [u["column_names"] for u in inspector.get_unique_constraints(table, schema=schema)]
    if not columns:
        raise BackfillError(
            f"Backfill {name!r}: table {table} has no primary key. Name a unique key: key=..."
        )
    if unknown := [c for c in columns if c not in nullable]:
        raise BackfillError(f"Backfill {name!r}: table {table} has no column {', '.join(unknown)}.")
    if not any(one and set(one) <= set(columns) for one in unique) or any(
        nullable[c] for c in columns if c not in primary
    ):
        raise BackfillError(
            f"Backfill {name!r}: ({', '.join(columns)}) is not known to be unique and NOT NULL in {table}, so that "
            "rows could be left out. Name another key, or make a unique index on it first."
        )
    quote = commits.dialect.identifier_preparer.quote
    full = ".".join(quote(part) for part in (schema, table) if part)
    total = _estimate(commits, name, table, schema, full)
    commits.rollback()  # nothing was written: the look began a transaction
    compares = commits.dialect.name not in MYSQL
    return Table(table, full, tuple(quote(c) for c in columns), total, compares)


def _estimate(commits: Commits, name: str, table: str, schema: str | None, full: str) -> int | None:
    """How many rows the server thinks that there are. Raises BackfillError for an engine without transactions."""
    if commits.dialect.name == "postgresql":
        sql = "SELECT CAST(c.reltuples AS bigint) FROM pg_catalog.pg_class c WHERE c.oid = to_regclass(:bf_table)"
        found = commits.execute(sql, {"bf_table": full}).scalar()
        return int(found) if found is not None and found > 0 else None
    if commits.dialect.name in MYSQL:
        place, values = "DATABASE()", {"bf_table": table}
        if schema:
            place, values = ":bf_schema", {**values, "bf_schema": schema}
        sql = "SELECT t.engine, t.table_rows FROM information_schema.tables t"
        row = commits.execute(
            f"{sql} WHERE t.table_schema = {place} AND t.table_name = :bf_table", values
        ).first()
        if row is not None and str(row[0]).upper() in ("MYISAM", "ARIA", "MEMORY", "CSV", "ARCHIVE"):
            raise BackfillError(
                f"Backfill {name!r}: table {table} is of the engine {row[0]}, which has no transactions: after a kill "
                f"a batch would be done twice. No row was changed. First: ALTER TABLE {full} ENGINE=InnoDB"
            )
        return int(row[1]) if row is not None and row[1] is not None else None
    return int(commits.execute(f"SELECT count(*) FROM {full}").scalar())


def dump_key(values: Values | None) -> str | None:
    """A key as text. Raises BackfillError for a type that has none that is exact."""
    return None if values is None else json.dumps([_plain(value) for value in values])


def _plain(value: Any) -> Any:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    if isinstance(value, uuid.UUID):
        return {"uuid": str(value)}
    if type(value).__name__ == "UUID":  # asyncpg's own
        return {"uuid": str(value)}
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"hex": bytes(value).hex()}
    if isinstance(value, dt.datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, dt.date):
        return {"date": value.isoformat()}
    raise BackfillError(
        f"A key of type {type(value).__name__} can't be kept exactly. Name a key of integers, texts, UUIDs, decimals, "
        "bytes, dates or timestamps."
    )


_LOADS: dict[str, Callable[[str], Any]] = {
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
    "hex": bytes.fromhex,
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
}


def load_key(text: str | None) -> Values | None:
    """What `dump_key` made a text of."""

    def load(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        ((kind, words),) = value.items()
        return _LOADS[kind](words)

    return None if text is None else tuple(load(value) for value in json.loads(text))

"""The statements that make a database of MySQL or MariaDB: the server's own, without the database's name."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ci_migrate.databases.baselines import Baseline
from ci_migrate.databases.mysql.catalog import own_name, quote_name, read_flavour
from ci_migrate.databases.mysql.objects import Stored, read_programs, read_tables, without_definer
from ci_migrate.databases.mysql.rows_dump import BY_NUMBER, NUMBERS, QUOTED, Column, read_sources
from ci_migrate.model import VersionTable

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

MODE = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"
"""As in a dump: an id may be 0, and rows may be older than what is allowed now."""

READING = (
    f"SET SESSION sql_mode = '{MODE}', time_zone = '+00:00', sql_quote_show_create = 1",
    "SET NAMES utf8mb4",
)
BEFORE = (
    "SET @ci_migrate_mode = @@sql_mode, @ci_migrate_zone = @@time_zone, @ci_migrate_keys = @@foreign_key_checks",
    f"SET SESSION sql_mode = '{MODE}', time_zone = '+00:00', foreign_key_checks = 0",
)
AFTER = (
    "SET SESSION sql_mode = @ci_migrate_mode, time_zone = @ci_migrate_zone, foreign_key_checks = @ci_migrate_keys",
)

TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "enum", "set"))

_NEXT = re.compile(r" AUTO_INCREMENT=(\d+)")


class MySQLBaselines:
    """See `baselines.BaselineReader`; `session` opens one in the database of that name."""

    def __init__(self, session: "Callable[[], AbstractContextManager[Cursor]]", database: str) -> None:
        self._session = session
        self._database = database

    def baseline(self, version_tables: Sequence[VersionTable]) -> Baseline:
        """The statements."""
        without = {table.name for table in version_tables}
        with self._session() as cursor:
            flavour = read_flavour(cursor)
            for statement in READING:
                cursor.execute(statement)
            made = [one for one in read_tables(cursor, self._database) if one.name not in without]
            programs = read_programs(cursor, self._database)
            sources = read_sources(cursor, self._database, (), history=False)
            tables = [one.name for one in made if one.kind == "TABLE"]
            rows = [sql for table in tables for sql in _insert(cursor, table, sources[table].columns)]
        return Baseline(
            engine=f"{flavour.name} {flavour.text}",
            structure=(*BEFORE, *(self._bare(one.create) for one in made)),
            rows=(*rows, *_next_numbers(made)),
            rest=(*self._programs(programs), *AFTER),
        )

    def positions(self) -> dict[str, str]:
        """The order of columns, and the number that comes next."""
        with self._session() as cursor:
            cursor.execute(
                "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s"
                " ORDER BY TABLE_NAME, ORDINAL_POSITION",
                [self._database],
            )
            columns: dict[str, list[str]] = {}
            for table, column in cursor.fetchall():
                columns.setdefault(str(table), []).append(str(column))
            found = {f"order of the columns of {table}": ", ".join(each) for table, each in columns.items()}
            for one in read_tables(cursor, self._database):
                following = _NEXT.search(one.create.rpartition("\n)")[2])
                if one.next_value is not None or following:
                    found[f"next number of {one.name}"] = one.next_value or (
                        following[1] if following else ""
                    )
        return found

    def _bare(self, sql: str) -> str:
        """Without the database's own name: the baseline is for databases of any name."""
        return own_name(self._database).sub(lambda found: "" if found["own"] else found[0], sql)

    def _programs(self, programs: Sequence[Stored]) -> Iterator[str]:
        """Each in the settings that it was made with, and run with: they belong to it."""
        mode, zone = MODE, "+00:00"
        for one in programs:
            wanted = one.settings.get("sql_mode", mode), one.settings.get("time_zone", zone)
            if wanted != (mode, zone):
                mode, zone = wanted
                yield f"SET SESSION sql_mode = '{mode}', time_zone = '{zone}'"
            yield self._bare(without_definer(one))


def _next_numbers(made: Sequence[Stored]) -> Iterator[str]:
    for one in made:
        if one.next_value is not None:
            yield f"DO SETVAL({quote_name(one.name)}, {int(one.next_value)}, 0)"


def _insert(cursor: "Cursor", table: str, columns: Sequence[Column]) -> Iterator[str]:
    """One statement with all rows."""
    literals = ", ', ', ".join(map(_literal, columns)) or "''"
    cursor.execute(f"SELECT CONCAT({literals}) FROM {quote_name(table)}")
    rows = [str(row) for (row,) in cursor.fetchall()]
    if rows:
        values = ",\n".join(f"  ({row})" for row in rows)
        yield f"INSERT INTO {quote_name(table)} ({', '.join(quote_name(c.name) for c in columns)}) VALUES\n{values}"


def _literal(column: Column) -> str:
    """SQL for a value as a literal that people can read; the proof compares the bytes."""
    c = quote_name(column.name)
    if column.kind in TEXTS:
        return f"QUOTE(CAST({c} AS CHAR CHARACTER SET utf8mb4))"
    if column.kind in NUMBERS | BY_NUMBER | QUOTED or column.kind == "float":
        return column.literal
    return f"IF({c} IS NULL, 'NULL', IF(OCTET_LENGTH({c}) = 0, '\\'\\'', CONCAT('0x', HEX({c}))))"

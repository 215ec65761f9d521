"""Some tables of a MySQL or MariaDB database: their rows put back into a live database."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import TYPE_CHECKING

from ci_migrate.databases.base import Unless, refuse_if
from ci_migrate.databases.mysql.catalog import quote_name, read_flavour, tables_of
from ci_migrate.databases.mysql.objects import SETTINGS
from ci_migrate.databases.mysql.rows import read_contents
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError, DatabaseError, RefusedError

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

_SEE = "Restore the whole backup, or name those tables too."

_TRIGGERS = """
SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS
WHERE EVENT_OBJECT_SCHEMA = %s AND CAST(EVENT_OBJECT_TABLE AS BINARY) IN %s
  AND EVENT_MANIPULATION IN ('INSERT', 'DELETE') ORDER BY 1, 2"""

_WITHOUT_TRANSACTIONS = """
SELECT t.TABLE_NAME, t.ENGINE FROM information_schema.TABLES t JOIN information_schema.ENGINES e USING (ENGINE)
WHERE t.TABLE_SCHEMA = %s AND CAST(t.TABLE_NAME AS BINARY) IN %s AND COALESCE(e.TRANSACTIONS, '') <> 'YES'
ORDER BY 1"""

_COLUMNS = """
SELECT COLUMN_NAME FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = %s AND CAST(TABLE_NAME AS BINARY) = %s AND COALESCE(GENERATION_EXPRESSION, '') = ''
ORDER BY ORDINAL_POSITION"""

# also those that lead here from another database, and from here to one
_FOREIGN_KEYS = """
SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, COLUMN_NAME,
       REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE REFERENCED_TABLE_NAME IS NOT NULL
  AND ((TABLE_SCHEMA = %s AND CAST(TABLE_NAME AS BINARY) IN %s)
    OR (REFERENCED_TABLE_SCHEMA = %s AND CAST(REFERENCED_TABLE_NAME AS BINARY) IN %s))
ORDER BY CAST(TABLE_SCHEMA AS BINARY), CAST(TABLE_NAME AS BINARY), CAST(CONSTRAINT_NAME AS BINARY), ORDINAL_POSITION"""


def replace_rows(live: Access, source: str, tables: Sequence[str], unless: Unless | None = None) -> None:
    """Put the rows that tables have in another database of the server in the place of those here: all or none.

    Args:
        live: the database; its account must be able to read the other one.
        source: the other database's name.
        tables: as `read_counts` calls them.
        unless: asked once nobody else can write to them; words refuse.

    Raises:
        RefusedError: `unless` says so, a trigger would fire, a table has no transactions, or rows would refer to
            others that are not there. Nothing is changed.
        BackupError: a row got lost on the way. Nothing is changed.
        DatabaseError: a right is missing, or the server refused. Nothing is changed.
    """
    with live.session() as cursor:
        known = dict(tables_of(cursor, live.database))
        if absent := [table for table in tables if table not in known]:
            raise DatabaseError(f"{live.place} has no table {absent[0]}.", state="Nothing was changed.")
        names = [known[table] for table in tables]
        _refuse_what_does_not_roll_back(cursor, live.database, names)
        cursor.execute(read_flavour(cursor).no_statement_limit)
        # without unique_checks the server may let the same key in twice
        cursor.execute(f"SET SESSION {SETTINGS}, unique_checks = 1")
        cursor.execute("SELECT LEAST(@@SESSION.lock_wait_timeout, 1000000)")
        ((wait,),) = cursor.fetchall()  # MySQL takes a number here, and no expression
        cursor.execute(f"SET SESSION innodb_lock_wait_timeout = {int(wait)}")
        with suppress(DatabaseError), live.translate_errors():
            # MariaDB: rows may be older than a constraint
            cursor.execute("SET SESSION check_constraint_checks = 0")
        with _transaction(cursor):
            if unless is not None:
                for (
                    name
                ) in names:  # whoever only reads here first, and writes then, meets others who wait between
                    cursor.execute(f"SELECT COUNT(*) FROM {quote_name(live.database, name)} FOR UPDATE")
                refuse_if(unless, lambda: read_contents(cursor, live.database, tables))
            for name in names:
                _replace(cursor, live.database, source, name)
            _refuse_broken_keys(cursor, live.database, names)


@contextmanager
def _transaction(cursor: "Cursor") -> Iterator[None]:
    # foreign keys are not enforced meanwhile: what is looked at must stay as it is until the end
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    cursor.execute("START TRANSACTION")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        cursor.connection.rollback()
        raise


def _refuse_what_does_not_roll_back(cursor: "Cursor", database: str, names: Sequence[str]) -> None:
    """Triggers can't be switched off, and are dropped only by statements that commit."""
    cursor.execute(_TRIGGERS, [database, names])
    if row := cursor.fetchone():
        raise RefusedError(
            f"Table {row[0]} has the trigger {row[1]}, which would fire for each row: MySQL and MariaDB have no way to"
            " switch it off.",
            hint="Restore the whole backup, or drop the trigger and make it again afterwards.",
        )
    cursor.execute(_WITHOUT_TRANSACTIONS, [database, names])
    if row := cursor.fetchone():
        raise RefusedError(
            f"Table {row[0]} ({row[1]}) has no transactions: its rows can't be replaced at once.",
            hint=f"Restore the whole backup, or: ALTER TABLE {quote_name(str(row[0]))} ENGINE=InnoDB",
        )


def _replace(cursor: "Cursor", database: str, source: str, name: str) -> None:
    cursor.execute(_COLUMNS, [database, name])
    columns = ", ".join(quote_name(str(column)) for (column,) in cursor.fetchall())
    here, there = quote_name(database, name), quote_name(source, name)
    cursor.execute(f"DELETE FROM {here}")
    cursor.execute(f"INSERT INTO {here} ({columns}) SELECT {columns} FROM {there}")
    cursor.execute(f"SELECT (SELECT COUNT(*) FROM {here}), (SELECT COUNT(*) FROM {there})")
    taken, wanted = cursor.fetchone() or (0, 0)
    if taken != wanted:
        raise BackupError(f"Table {name} took {taken} of {wanted} rows.", hint="Restore the whole backup.")


def _refuse_broken_keys(cursor: "Cursor", database: str, names: Sequence[str]) -> None:
    cursor.execute(_FOREIGN_KEYS, [database, names, database, names])
    rows = [[str(value) for value in row] for row in cursor.fetchall()]
    for key, columns in groupby(rows, lambda row: tuple(row[:5])):
        child_schema, child, _, parent_schema, parent = key
        pairs = [(row[5], row[6]) for row in columns]
        given = " AND ".join(f"{quote_name('c', ours)} IS NOT NULL" for ours, _ in pairs)
        same = " AND ".join(f"{quote_name('p', theirs)} = {quote_name('c', ours)}" for ours, theirs in pairs)
        cursor.execute(
            f"SELECT COUNT(*) FROM {quote_name(child_schema, child)} c WHERE {given}"
            f" AND NOT EXISTS (SELECT 1 FROM {quote_name(parent_schema, parent)} p WHERE {same})"
        )
        if broken := (cursor.fetchone() or (0,))[0]:
            raise RefusedError(
                f"After that {broken} rows would refer to others that are not there ({child} to {parent}).",
                hint=_SEE,
            )

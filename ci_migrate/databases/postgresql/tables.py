"""Some tables of a PostgreSQL database: what a dump leaves out, and their rows put back into a live database."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.base import Unless, refuse_if
from ci_migrate.databases.postgresql.catalog import RELATIONS, pin
from ci_migrate.databases.postgresql.lock import NO_LIMITS
from ci_migrate.databases.postgresql.rows import read_contents
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.errors import RefusedError
from ci_migrate.model import VersionTable

if TYPE_CHECKING:
    import psycopg

NOT_WITHOUT_ALL_ROWS = ("FK CONSTRAINT", "MATERIALIZED VIEW DATA", "COMMENT")
"""What of an archive with the rows of some tables can't be restored; comments may be on a foreign key."""

_TABLES = f"""
WITH {RELATIONS}
SELECT key, nspname, relname, oid, quote_ident(nspname) || '.' || quote_ident(relname)
FROM rel WHERE relkind IN ('r', 'p')"""

_FOREIGN_KEYS = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), quote_ident(k.conname), pg_get_constraintdef(k.oid),
       quote_literal(obj_description(k.oid, 'pg_constraint'))
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY(%(oids)s) OR k.confrelid = ANY(%(oids)s))
ORDER BY k.oid"""

_TRIGGERS = """
SELECT t.tgrelid, quote_ident(t.tgname), CASE t.tgenabled WHEN 'R' THEN 'REPLICA ' WHEN 'A' THEN 'ALWAYS ' ELSE '' END
FROM pg_trigger t WHERE t.tgrelid = ANY(%s) AND NOT t.tgisinternal AND t.tgenabled <> 'D' ORDER BY t.oid"""

_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"""


def without_rows_of_others(
    connection: "psycopg.Connection[Any]", tables: Collection[str], version_tables: Sequence[VersionTable]
) -> list[str]:
    """Arguments by which pg_dump leaves the rows of all other tables out; the version tables keep theirs."""
    versions = {(table.schema or table.search_path, table.name) for table in version_tables}
    return [
        f"--exclude-table-data={_pattern(schema)}.{_pattern(name)}"
        for key, schema, name, _, _ in connection.execute(_TABLES)
        if key not in tables and not versions.intersection({(schema, name), (None, name)})
    ]


def _pattern(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def replace_rows(live: Access, source: Access, tables: Sequence[str], unless: Unless | None = None) -> None:
    """Put the rows that tables have in another database in the place of those here: all of them or none.

    No trigger of the user's fires. Foreign keys are taken away and made again in the same transaction, which checks
    every row of theirs; it needs no superuser, but the owner of the tables that refer to these.

    Raises:
        RefusedError: `unless` says so, or rows would refer to others that are not there. Nothing is changed.
        DatabaseError: a right is missing, or the database refused. Nothing is changed.
    """
    import psycopg

    with source.session(read_only=True) as theirs, live.session() as ours:
        ours.execute(NO_LIMITS)
        with theirs.transaction(), ours.transaction():
            for connection in (theirs, ours):
                pin(connection)
                connection.execute("SET LOCAL row_security = off")  # an error is better than half of the rows
            there = {key: name for key, _, _, _, name in theirs.execute(_TABLES)}
            here = {key: (oid, name) for key, _, _, oid, name in ours.execute(_TABLES)}
            wanted = [(*here[table], there[table]) for table in tables]
            names = ", ".join(f"ONLY {name}" for _, name, _ in wanted)
            _run(ours, f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            refuse_if(unless, lambda: read_contents(ours, tables))
            try:
                with _without_triggers(ours, [oid for oid, _, _ in wanted]):
                    _run(ours, f"TRUNCATE {names}")
                    for oid, name, their_name in wanted:
                        _copy(theirs, their_name, ours, name, oid)
            except psycopg.errors.ForeignKeyViolation as error:
                raise RefusedError(
                    f"After that rows would refer to others that are not there: {live.explain(error)}.",
                    hint="Restore the whole backup, or name those tables too.",
                ) from error
        _run(ours, "ANALYZE " + ", ".join(name for _, name, _ in wanted))


def _run(connection: "psycopg.Connection[Any]", statement: str) -> None:
    """Names in it were quoted by the server."""
    connection.execute(statement.encode(connection.info.encoding))


def _copy(
    theirs: "psycopg.Connection[Any]",
    their_name: str,
    ours: "psycopg.Connection[Any]",
    name: str,
    oid: int,
) -> None:
    row = ours.execute(_COLUMNS, [oid]).fetchone()
    columns = row[0] if row else None
    if columns is None:
        return
    out = f"COPY (SELECT {columns} FROM ONLY {their_name}) TO STDOUT".encode(theirs.info.encoding)
    into = f"COPY {name} ({columns}) FROM STDIN".encode(ours.info.encoding)
    with (
        theirs.cursor() as reading,
        ours.cursor() as writing,
        reading.copy(out) as reader,
        writing.copy(into) as writer,
    ):
        for data in reader:
            writer.write(data)


@contextmanager
def _without_triggers(connection: "psycopg.Connection[Any]", oids: Sequence[int]) -> Iterator[None]:
    """Without the user's triggers and the foreign keys of these tables; they are as they were at the end."""
    foreign_keys = connection.execute(_FOREIGN_KEYS, {"oids": list(oids)}).fetchall()
    triggers = connection.execute(_TRIGGERS, [list(oids)]).fetchall()
    names = {oid: name for _, _, _, oid, name in connection.execute(_TABLES)}
    for oid, trigger, _ in triggers:
        _run(connection, f"ALTER TABLE {names[oid]} DISABLE TRIGGER {trigger}")
    for table, constraint, _, _ in foreign_keys:
        _run(connection, f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
    yield
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")  # nothing may be pending when a table is altered
    for table, constraint, definition, comment in foreign_keys:
        _run(connection, f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition}")
        if comment is not None:
            _run(connection, f"COMMENT ON CONSTRAINT {constraint} ON {table} IS {comment}")
    for oid, trigger, how in triggers:
        _run(connection, f"ALTER TABLE {names[oid]} ENABLE {how}TRIGGER {trigger}")

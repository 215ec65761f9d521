"""The statements that make a database's objects: read, written for people, run again in a database of another name."""

import codecs
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.catalog import opening_error, own_name, quote_name, without_end
from ci_migrate.databases.mysql.mark import NAME as MARK
from ci_migrate.databases.mysql.sessions import Access, number_of
from ci_migrate.errors import BackupError
from ci_migrate.model import Frozen

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

SETTINGS = (
    "sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00',"
    " foreign_key_checks = 0, unique_checks = 0, sql_quote_show_create = 1"
)
"""Of each session that reads or writes statements: they are the same wherever they are read."""

VIEWS = f"SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s AND TABLE_NAME <> '{MARK}'"
"""All but our mark, which stays where it is when tables are put in the place of others."""

PROGRAMS = ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY", "VIEW", "TRIGGER", "EVENT")
"""What is made after the rows, in this order; it runs with rights, and names databases."""

_DEFINER = re.compile(
    # in double quotes where it was made under ANSI_QUOTES
    r"\A(CREATE (?:ALGORITHM=\w+ )?)"
    r"DEFINER=([`\"])(?:(?!\2).|\2\2)*\2(?:@([`\"])(?:(?!\3).|\3\3)*\3)? ",
    re.IGNORECASE | re.DOTALL,
)

_ENABLED = re.compile(r"( ON COMPLETION (?:NOT )?PRESERVE) ENABLE\b")

_OVER = re.compile(
    r" ON SCHEDULE (?:AT|EVERY .{1,200}?ENDS) '(?P<at>[0-9 :.-]+)' ON COMPLETION NOT PRESERVE", re.DOTALL
)
"""An event that the server drops by itself after this time, and does not even make then."""

_ARCHIVE = re.compile(r"(\n\) ENGINE=ARCHIVE) AUTO_INCREMENT=\d+(?= )")

BROKEN = (1054, 1146, 1305, 1356)
"""The server's numbers for a view of something that is not there: column, table, routine, any of them."""

LENIENT = (
    "innodb_strict_mode = 0",
    "restrict_fk_on_non_standard_key = 0",
    "check_constraint_checks = 0",
    # tables may be older than these; to set them takes SESSION_VARIABLES_ADMIN
    "sql_require_primary_key = 0",
    "sql_generate_invisible_primary_key = 0",
)
"""What a table may be made with that a stricter server refuses. Servers differ in which they know, and let us set."""

WITHOUT_KEY = 3750
"""The server's number for a table without a primary key where it wants one."""


class Stored(Frozen, frozen=True, kw_only=True):
    """An object and the statement that makes it; `settings` are those of the session that wrote a program."""

    kind: str
    name: str
    create: str
    settings: dict[str, str]
    next_value: str | None = None  # of a sequence
    broken: str = ""  # of a view: why it could not be used when it was read


def _rows(cursor: "Cursor", query: str, *values: str) -> list[tuple[Any, ...]]:
    cursor.execute(query, values or None)
    return list(cursor.fetchall())


# --------------------------------------------------------------------------- reading


def read_tables(cursor: "Cursor", database: str) -> tuple[Stored, ...]:
    """Sequences, then tables, of the database that the session is in."""
    found = []
    kinds = _rows(
        cursor,
        "SELECT TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE <> 'VIEW' ORDER BY TABLE_TYPE <> 'SEQUENCE', TABLE_NAME",
        database,
    )
    for name, kind, engine in kinds:
        if opening_error(cursor, database, str(name), engine):
            continue  # a MERGE table whose members are gone: the server does not tell its definition
        sequence = kind == "SEQUENCE"
        row = _rows(cursor, f"SHOW CREATE {'SEQUENCE' if sequence else 'TABLE'} {quote_name(name)}")[0]
        following = _rows(cursor, f"SELECT next_not_cached_value FROM {quote_name(name)}") if sequence else []
        found.append(
            Stored(
                kind="SEQUENCE" if sequence else "TABLE",
                name=str(name),
                # ARCHIVE takes no row behind that, and finds it by its rows
                create=_ARCHIVE.sub(r"\1", str(row[1])),
                settings={},
                next_value=str(following[0][0]) if following else None,
            )
        )
    return tuple(found)


def read_programs(cursor: "Cursor", database: str) -> tuple[Stored, ...]:
    """Routines, views, triggers and events of the database that the session is in.

    Raises:
        BackupError: this account may not see what is in one of them; with the GRANT.
    """
    names = {
        "VIEW": f"{VIEWS} ORDER BY 1",
        "TRIGGER": "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"
        " ORDER BY EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_ORDER",
        "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s ORDER BY 1",
    }
    routines = _rows(
        cursor,
        "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s ORDER BY 2",
        database,
    )
    found = []
    for kind in PROGRAMS:
        listed = _rows(cursor, names[kind], database) if kind in names else []
        for name in [n for (n,) in listed] or [n for k, n in routines if k == kind]:
            try:
                cursor.execute(f"SHOW CREATE {kind} {quote_name(str(name))}")
            except Exception as error:
                raise _hidden(kind, str(name), database) from error
            titles = [column[0] for column in cursor.description or ()]
            row = dict(zip(titles, cursor.fetchone() or (), strict=True))
            text = next(
                (v for k, v in row.items() if k.startswith("Create ") or k == "SQL Original Statement"), None
            )
            if not text:
                raise _hidden(kind, str(name), database)
            kept = ("sql_mode", "time_zone", "character_set_client", "collation_connection")
            settings = {k: str(row[k]) for k in kept if row.get(k) is not None}
            broken = _why_broken(cursor, str(name)) if kind == "VIEW" else ""
            create = without_end(str(text)) if kind == "TRIGGER" else str(text)
            found.append(Stored(kind=kind, name=str(name), create=create, settings=settings, broken=broken))
    return tuple(_order(found))


def _why_broken(cursor: "Cursor", view: str) -> str:
    import pymysql

    try:
        cursor.execute(f"SHOW COLUMNS FROM {quote_name(view)}")
    except pymysql.MySQLError as error:
        if error.args[0] in BROKEN:
            return f"it was broken already when the backup was made ({error.args[0]})"
    return ""


def _order(programs: list[Stored]) -> Iterator[Stored]:
    """The same, views after those that they are made of."""
    views = {program.name for program in programs if program.kind == "VIEW"}
    waiting = [(program, _views_in(program, views)) for program in programs]
    while waiting:
        undone = {program.name for program, _ in waiting if program.kind == "VIEW"}
        ready = [program for program, needs in waiting if not needs & undone]
        yield from ready or (program for program, _ in waiting)  # a circle can't be made in any order
        waiting = [(program, needs) for program, needs in waiting if needs & undone] if ready else []


def _views_in(program: Stored, views: set[str]) -> set[str]:
    if program.kind != "VIEW":
        return set()
    named = {name.replace("``", "`") for name in re.findall(r"`((?:[^`]|``)+)`", program.create)}
    return (named & views) - {program.name}


def _hidden(kind: str, name: str, database: str) -> BackupError:
    return BackupError(
        f"The text of {kind.lower()} {name} can't be read by this account, so a backup would be without it.",
        hint=f"GRANT SHOW VIEW, TRIGGER, EVENT ON {quote_name(database)}.* and, for routines, SELECT ON mysql.proc"
        " (MySQL: SHOW_ROUTINE ON *.*) to it.",
    )


# --------------------------------------------------------------------------- other names, other accounts


def rename(sql: str, old: str, new: str) -> str:
    """A statement with the database's name replaced where it qualifies another; not in strings or comments."""
    if old == new:
        return sql
    return own_name(old).sub(lambda found: f"{quote_name(new)}." if found["own"] else found[0], sql)


def without_definer(stored: Stored) -> str:
    """Its statement, so that who makes it defines it."""
    return _DEFINER.sub(r"\1", stored.create)


def disable(sql: str) -> str:
    """The statement of an event that does not run."""
    return _ENABLED.sub(r"\1 DISABLE", sql, count=1)


# --------------------------------------------------------------------------- making


def create_tables(access: Access, tables: Iterable[Stored], *, named: str) -> None:
    """Make sequences and tables in the database of `access`; `named` is the one that they were read from."""
    import pymysql

    with access.session() as cursor:
        cursor.execute(f"SET SESSION {SETTINGS}")
        for setting in LENIENT:
            with suppress(pymysql.MySQLError):
                cursor.execute(f"SET SESSION {setting}")
        for stored in tables:
            try:
                cursor.execute(rename(stored.create, named, access.database))
            except pymysql.MySQLError as error:
                if number_of(error) != WITHOUT_KEY:
                    raise
                raise BackupError(
                    f"{access.place}: {stored.name} has no primary key, and the server makes no such table "
                    "(sql_require_primary_key).",
                    hint=f"GRANT SESSION_VARIABLES_ADMIN ON *.* TO {access.user};",
                ) from error
            if stored.next_value is not None:
                cursor.execute(f"DO SETVAL({quote_name(stored.name)}, {int(stored.next_value)}, 0)")


def create_programs(
    access: Access, programs: Sequence[Stored], *, named: str, definers: bool, events: bool
) -> None:
    """Make routines, views, triggers and events in the database of `access`.

    Args:
        access: as whom and where.
        programs: in the order of `read_programs`.
        named: the database that they were read from.
        definers: keep whose rights they run with; otherwise they run with those of `access`.
        events: events may run.

    Raises:
        BackupError: one was refused; with its name.
    """
    with closing(access.connect()) as connection, access.translate_errors():
        for stored in programs:
            sql = rename(stored.create if definers else without_definer(stored), named, access.database)
            refusal = _make(access, connection, stored, sql, events=events)
            if refusal is not None and not (stored.broken and refusal[0] in BROKEN):
                raise _refusal(access, stored, *refusal)


def _make(
    access: Access, connection: "Connection[Cursor]", stored: Stored, sql: str, *, events: bool
) -> tuple[int, str] | None:
    """Run one statement in the settings of its program. Returns the server's number and words if it refused."""
    import pymysql

    *settings, data = _in_its_settings(stored, sql)
    for setting in settings:
        connection.query(setting)
    cursor = connection.cursor()
    if stored.kind == "EVENT":
        over = _OVER.search(sql)
        cursor.execute("SELECT %s < NOW()", [over["at"] if over else None])
        past = bool((cursor.fetchone() or (0,))[0])
        data = _in_its_settings(stored, sql if events and not past else disable(sql))[-1]
        if over and (past or not events):  # made as if it were still to come
            cursor.execute("SET SESSION timestamp = UNIX_TIMESTAMP(%s) - 1", [over["at"]])
    try:
        connection.query(data)
    except pymysql.MySQLError as error:
        return int(error.args[0]), access.explain(error)
    finally:
        if stored.kind == "EVENT":
            cursor.execute("SET SESSION timestamp = DEFAULT")
    return None


def making_statements(access: Access, stored: Stored, named: str) -> list[bytes]:
    """The statements that make a program in the database of `access`, with its definer and in its settings."""
    return _in_its_settings(stored, rename(stored.create, named, access.database))


def _in_its_settings(stored: Stored, sql: str) -> list[bytes]:
    settings = {"sql_mode": "", "time_zone": "SYSTEM", **stored.settings}
    charset = settings.pop("character_set_client", "utf8mb4")
    collation = settings.pop("collation_connection", "utf8mb4_general_ci")
    if (data := _encode(sql, charset)) is not None:
        settings |= {"character_set_client": charset, "collation_connection": collation}
    values = {name: value.replace("'", "''") for name, value in settings.items()}
    each = (f"SET SESSION {name} = '{value}'".encode() for name, value in values.items())
    return [b"SET NAMES utf8mb4", *each, data or sql.encode()]


def _encode(sql: str, charset: str) -> bytes | None:
    """The statement in the character set of its program; None where Python does not know that."""
    known = {"utf8mb4": "utf-8", "utf8mb3": "utf-8", "utf8": "utf-8", "latin1": "cp1252", "ascii": "ascii"}
    try:
        return codecs.encode(sql, known.get(charset, charset))
    except (LookupError, UnicodeEncodeError):
        return None


def _refusal(access: Access, stored: Stored, number: int, words: str) -> BackupError:
    hint = ""
    if number == 1419:
        hint = "The server writes a binary log: SET GLOBAL log_bin_trust_function_creators = 1;"
    elif number == 1227:
        hint = f"GRANT SET USER ON *.* TO {access.user};  (MySQL: SET_USER_ID or SET_ANY_DEFINER)"
    return BackupError(
        f"{access.place}: {stored.kind.lower()} {stored.name} can't be made: {words}.", hint=hint
    )


def drop_programs(cursor: "Cursor", database: str, *, triggers: bool = True) -> None:
    """Drop views, routines, events and, unless they shall stay, triggers of the database that the session is in."""
    for query, statement in (
        ("SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s", "EVENT"),
        ("SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s", "TRIGGER"),
        (VIEWS, "VIEW"),
    ):
        if statement == "TRIGGER" and not triggers:
            continue
        for (name,) in _rows(cursor, query, database):
            cursor.execute(f"DROP {statement} IF EXISTS {quote_name(str(name))}")
    for kind, name in _rows(
        cursor, "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s",
        database,
    ):  # fmt: skip
        package = str(kind).startswith("PACKAGE")
        if package:  # before 11.4 MariaDB knows the word in this mode alone
            cursor.execute("SET SESSION sql_mode = 'ORACLE'")
        cursor.execute(f"DROP {kind} IF EXISTS {quote_name(str(name))}")
        if package:
            cursor.execute(f"SET SESSION {SETTINGS}")


# --------------------------------------------------------------------------- for people


def as_script(stored: Iterable[Stored]) -> Iterator[bytes]:
    """The statements as the command line client takes them."""
    history = "/*M!101100 SET SESSION system_versioning_insert_history = 1 */"
    yield f"SET SESSION {SETTINGS};\n{history};\nDELIMITER ;;\n".encode()
    for one in stored:
        for name, value in one.settings.items():
            if name in ("sql_mode", "time_zone"):
                yield f"SET SESSION {name} = '{value}';;\n".encode()
        yield f"{one.create};;\n".encode()
        if one.next_value is not None:
            yield f"DO SETVAL({quote_name(one.name)}, {one.next_value}, 0);;\n".encode()
    yield b"DELIMITER ;\n"

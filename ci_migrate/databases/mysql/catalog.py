"""What information_schema says about a database's objects: one query per kind, each row a name and a definition.

The database's own name is taken out of definitions. Definers are left out: a migration is rehearsed by another account
than it is run by. So are the times of events, which begin when they are made.
"""

import re
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ci_migrate.databases.mysql.flavours import Flavour, flavour_of
from ci_migrate.databases.mysql.mark import NAME as MARK
from ci_migrate.errors import DatabaseError
from ci_migrate.model import Schema, sorted_schema

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

ACCESS_DENIED = 1044
"""The server's number for a missing right to a database."""

PLAIN = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)

# `{one}` is where one table is asked for: MariaDB opens that one alone then, which it does not with a list of names;
# names are sorted as bytes: to the catalog's own collation T and t are equal, and their rows would come mixed
_DATABASE = """
SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s"""

_TABLES = """
SELECT TABLE_NAME, TABLE_TYPE, ENGINE, TABLE_COLLATION, CREATE_OPTIONS, TABLE_COMMENT
FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s{one}"""

_PARTITIONS = """
SELECT TABLE_NAME, PARTITION_METHOD, PARTITION_EXPRESSION, SUBPARTITION_METHOD, SUBPARTITION_EXPRESSION,
       PARTITION_NAME, PARTITION_DESCRIPTION
FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = %s{one} AND PARTITION_NAME IS NOT NULL
ORDER BY CAST(TABLE_NAME AS BINARY), PARTITION_ORDINAL_POSITION, SUBPARTITION_ORDINAL_POSITION"""

_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, COLLATION_NAME, IS_NULLABLE, COLUMN_DEFAULT, EXTRA,
       GENERATION_EXPRESSION, COLUMN_COMMENT
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s{one}"""

KEY_COLUMNS = """
SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE CONSTRAINT_SCHEMA = %s AND TABLE_SCHEMA = %s{one} AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY CAST(TABLE_NAME AS BINARY), CAST(CONSTRAINT_NAME AS BINARY), ORDINAL_POSITION"""

_RULES = """
SELECT TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE, DELETE_RULE
FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = %s{one}"""

_VIEWS = f"""
SELECT TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, SECURITY_TYPE
FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s AND TABLE_NAME <> '{MARK}'"""

_TRIGGERS = """
SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, SQL_MODE
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = %s"""

_ROUTINES = """
SELECT ROUTINE_TYPE, ROUTINE_NAME, DTD_IDENTIFIER, ROUTINE_DEFINITION, IS_DETERMINISTIC, SQL_DATA_ACCESS,
       SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT
FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = %s"""

_PARAMETERS = """
SELECT ROUTINE_TYPE, SPECIFIC_NAME, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER
FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = %s AND ORDINAL_POSITION > 0
ORDER BY ROUTINE_TYPE, CAST(SPECIFIC_NAME AS BINARY), ORDINAL_POSITION"""

# without STATUS: the events of copies are disabled
_EVENTS = """
SELECT EVENT_NAME, EVENT_TYPE, INTERVAL_VALUE, INTERVAL_FIELD, ON_COMPLETION,
       EVENT_DEFINITION, SQL_MODE, EVENT_COMMENT
FROM information_schema.EVENTS WHERE EVENT_SCHEMA = %s"""


def part(name: str) -> str:
    """A name, quoted if it must be; the same rule as on the other engines."""
    return name if PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'


def without_end(statement: str) -> str:
    """A trigger's statement without a `;` behind it.

    MySQL keeps one that only parted it from what was sent after it in the same packet.
    """
    return statement.rstrip().removesuffix(";").rstrip()


def quote_name(*names: str) -> str:
    """An identifier in SQL, for a statement without arguments: with them PyMySQL takes a % for a mark."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


def named(kind: str, *names: str) -> str:
    """`column users.email`."""
    return f"{kind} {'.'.join(part(name) for name in names)}"


def tables_of(cursor: "Cursor", database: str) -> list[tuple[str, str]]:
    """The tables that hold rows and can be opened: key and name, sorted by key."""
    cursor.execute(
        "SELECT TABLE_NAME, ENGINE FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s"
        " AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')",
        [database],
    )
    found = cursor.fetchall()
    return sorted(
        (part(name), name) for name, engine in found if not opening_error(cursor, database, name, engine)
    )


def opening_error(cursor: "Cursor", database: str, table: str, engine: str | None) -> tuple[int, str] | None:
    """Why the server can't open a table, in its number and words; None where it can, or has no doubt."""
    import pymysql

    if engine and engine.upper() != "MRG_MYISAM":
        return None
    try:
        cursor.execute(f"SELECT 1 FROM {quote_name(database, table)} LIMIT 0")
    except pymysql.MySQLError as error:
        return int(error.args[0]), str(error.args[-1])
    return None


def read_flavour(cursor: "Cursor") -> Flavour:
    """Which server this is."""
    cursor.execute("SELECT VERSION()")
    row = cursor.fetchone()
    assert row is not None
    return flavour_of(str(row[0]))


def read_schema(cursor: "Cursor", database: str) -> Schema:
    """All objects of a database with their definitions.

    Raises:
        DatabaseError: the account may not see all of a definition; with the GRANT.
    """
    reader = _Reader(cursor, database, read_flavour(cursor))
    found: Schema = {}
    for kind in (
        reader.database_defaults,
        *reader.of_tables,
        reader.views,
        reader.triggers,
        reader.routines,
        reader.events,
    ):
        found.update(kind())
    return sorted_schema(found)


def read_table(cursor: "Cursor", database: str, flavour: Flavour, table: str) -> Schema:
    """The same of one table: itself, its columns, indexes, foreign keys and checks; {} where there is none."""
    return {key: text for kind in _Reader(cursor, database, flavour, table).of_tables for key, text in kind()}


def own_name(database: str) -> "re.Pattern[str]":
    """Finds the database's name where it qualifies another (group `own`), and what it may stand in without doing so."""
    own = rf"(?<![\w`.$@])(?:`{re.escape(database.replace('`', '``'))}`|{re.escape(database)})\.(?=[\w`])"
    names, text, double = r"`(?:[^`]|``)*`", r"'(?:[^'\\]|\\.|'')*'", r'"(?:[^"\\]|\\.|"")*"'
    comments = r"/\*.*?\*/|--\s[^\n]*|\#[^\n]*"
    return re.compile(rf"(?P<own>{own})|{names}|{text}|{double}|{comments}", re.DOTALL)


def _join(*parts: Any) -> str:
    return "; ".join(str(p) for p in parts if p not in (None, ""))


def _default(text: str, extra: str) -> str:
    """MySQL shows texts without quotes, and marks expressions; on MariaDB each is as it would be written."""
    return f"default ({text})" if "DEFAULT_GENERATED" in extra else f"default {text}"


class _Reader:
    """One pass over information_schema, of the whole database or of one table."""

    def __init__(self, cursor: "Cursor", database: str, flavour: Flavour, table: str | None = None) -> None:
        self.cursor = cursor
        self.database = database
        self.flavour = flavour
        self.own_name = own_name(database)
        self._table = table
        self._read: dict[str, list[tuple[Any, ...]]] = {}

    def rows(self, query: str, times: int = 1) -> list[tuple[Any, ...]]:
        if query not in self._read:
            if self._table is None:
                self.cursor.execute(query.format(one=""), [self.database] * times)
            else:
                asked = query.format(one=" AND TABLE_NAME = %s")
                self.cursor.execute(asked, [*[self.database] * times, self._table])
            self._read[query] = list(self.cursor.fetchall())
        return self._read[query]

    @property
    def of_tables(self) -> tuple[Callable[[], Iterator[tuple[str, str]]], ...]:
        """What reads tables and what belongs to them."""
        return self.tables, self.columns, self.indexes, self.foreign_keys, self.checks

    def bare(self, sql: str | None) -> str:
        """A definition without the database's own name."""
        return self.own_name.sub(lambda found: "" if found["own"] else found[0], sql or "").strip()

    def visible(self, kind: str, name: str, definition: str | None, grant: str) -> str:
        """A definition without the database's own name. The server leaves out what an account may not see."""
        if not definition:
            raise self._hidden(f"the definition of {kind.lower()} {name}", grant)
        return self.bare(definition)

    def _hidden(self, what: str, grant: str) -> DatabaseError:
        self.cursor.execute("SELECT CURRENT_USER()")
        user, _, host = str((self.cursor.fetchone() or ("",))[0]).rpartition("@")
        return DatabaseError(
            f"The account {user}@{host} may not see {what}: a change of it would go unnoticed.",
            hint=f"GRANT {grant} TO '{user}'@'{host}';",
        )

    def on_database(self, right: str) -> str:
        """What a GRANT of a right to this database names."""
        return f"{right} ON `{self.database.replace('`', '``')}`.*"

    def database_defaults(self) -> Iterator[tuple[str, str]]:
        for charset, collation in self.rows(_DATABASE):
            yield "database defaults", f"character set {charset} collate {collation}"

    def tables(self) -> Iterator[tuple[str, str]]:
        partitioned = any("partitioned" in (row[4] or "") for row in self.rows(_TABLES))
        partitions = {
            table: self._partitioned(list(group))
            for table, group in groupby(self.rows(_PARTITIONS) if partitioned else (), lambda r: r[0])
        }
        for name, kind, engine, collation, options, comment in self.rows(_TABLES):
            if kind == "SEQUENCE":
                yield named("sequence", name), self._sequence(name)
            elif kind != "VIEW":
                given = " ".join(sorted(o for o in (options or "").split() if o != "partitioned"))
                yield (
                    named("table", name),
                    _join(
                        "table" if kind == "BASE TABLE" else kind.lower(),
                        f"engine {engine}",
                        f"collate {collation}",
                        given,
                        partitions.get(name),
                        comment and f"comment {comment}",
                    ),
                )

    def _partitioned(self, rows: list[tuple[Any, ...]]) -> str:
        _, method, expression, sub_method, sub_expression, _, _ = rows[0]
        sub = f" subpartition by {sub_method} ({sub_expression})" if sub_method else ""
        each = dict.fromkeys(f"{name} {description or ''}".strip() for *_, name, description in rows)
        return f"partition by {method} ({expression or ''}){sub}: {', '.join(each)}"

    def _sequence(self, name: str) -> str:
        self.cursor.execute(f"SHOW CREATE SEQUENCE {quote_name(name)}")
        row = self.cursor.fetchone()
        assert row is not None
        return self.bare(str(row[1]).partition("` ")[2].partition(" ENGINE=")[0])

    def columns(self) -> Iterator[tuple[str, str]]:
        tables = {name for name, kind, *_ in self.rows(_TABLES) if kind not in ("VIEW", "SEQUENCE")}
        for table, name, kind, collation, nullable, default, extra, generated, comment in self.rows(_COLUMNS):
            if table in tables:
                words = [
                    kind,
                    f"collate {collation}" if collation else "",
                    "not null" if nullable == "NO" else "",
                    _default(self.bare(default), extra or "")
                    if default is not None and not generated
                    else "",
                    (extra or "").replace("DEFAULT_GENERATED", "").strip().lower(),
                    f"as ({self.bare(generated)})" if generated else "",
                    f"comment {comment}" if comment else "",
                ]
                yield named("column", table, name), " ".join(word for word in words if word)

    def indexes(self) -> Iterator[tuple[str, str]]:
        made_for = self._made_for_foreign_keys()
        for (table, index), group in groupby(self.rows(self.flavour.indexes), lambda r: (r[0], r[1])):
            members = list(group)
            if members[0][2] and (table, index, tuple(m[3] for m in members)) in made_for:
                continue
            _, _, repeats, _, _, _, kind, comment, hidden, _ = members[0]
            columns = [
                (part(column) if column is not None else f"({self.bare(expression)})")
                + (f"({prefix})" if prefix else "")
                + (" desc" if direction == "D" else "")
                for _, _, _, column, direction, prefix, _, _, _, expression in members
            ]
            key = named("primary key", table) if index == "PRIMARY" else named("index", table, index)
            what = "" if kind == "BTREE" else kind.lower()
            notes = "" if repeats or index == "PRIMARY" else "unique", "ignored" if hidden else ""
            text = _join(what, *notes, comment and f"comment {comment}")
            yield key, f"({', '.join(columns)}){' ' + text if text else ''}"

    def _made_for_foreign_keys(self) -> set[tuple[str, str, tuple[str, ...]]]:
        """Indexes as InnoDB makes them for foreign keys: of their columns, named like them or like the first column.

        It drops them in silence when another index can do their work, but not those that a restored dump has made:
        they are the engine's own, and no part of the schema.
        """
        made = set()
        for (table, name), group in groupby(self.rows(KEY_COLUMNS, 2), lambda r: (r[0], r[1])):
            columns = tuple(member[2] for member in group)
            made |= {(table, name, columns), (table, columns[0], columns)}
        return made

    def foreign_keys(self) -> Iterator[tuple[str, str]]:
        # not joined on the server: MariaDB takes ten times as long for that as for both
        columns = self.rows(KEY_COLUMNS, 2)
        rules = {(row[0], row[1]): row[2:] for row in (self.rows(_RULES) if columns else ())}
        for (table, name), group in groupby(columns, lambda r: (r[0], r[1])):
            if (table, name) not in rules:
                continue
            members = list(group)
            _, _, _, schema, other, _ = members[0]
            there = part(other) if schema == self.database else f"{part(schema)}.{part(other)}"
            ours, theirs = ", ".join(part(m[2]) for m in members), ", ".join(part(m[5]) for m in members)
            given = "".join(
                f" {when} {rule.lower()}"
                for when, rule in zip(("on update", "on delete"), rules[table, name], strict=True)
                if rule not in ("RESTRICT", "NO ACTION")
            )
            yield named("foreign key", table, name), f"({ours}) references {there} ({theirs}){given}"

    def checks(self) -> Iterator[tuple[str, str]]:
        for table, name, clause, enforced in self.rows(self.flavour.checks):
            text = self.bare(clause) + ("" if enforced == "YES" else " not enforced")
            yield named("check", table, name), text

    def views(self) -> Iterator[tuple[str, str]]:
        for name, definition, check, security in self.rows(_VIEWS):
            option = f"with {check.lower()} check option" if check != "NONE" else ""
            text = self.visible("view", name, definition, self.on_database("SHOW VIEW"))
            yield (
                named("view", name),
                _join(text, option, f"sql security {security.lower()}"),
            )

    def triggers(self) -> Iterator[tuple[str, str]]:
        for name, timing, event, table, order, statement, mode in self.rows(_TRIGGERS):
            when = f"{timing.lower()} {event.lower()} on {part(table)}"
            body = without_end(self.visible("trigger", name, statement, self.on_database("TRIGGER")))
            yield named("trigger", name), _join(when, order if order != 1 else "", body, mode)

    def routines(self) -> Iterator[tuple[str, str]]:
        parameters = {
            key: ", ".join(" ".join(p for p in row[2:] if p) for row in group)
            for key, group in groupby(self.rows(_PARAMETERS), lambda r: (r[0], r[1]))
        }
        for kind, name, returns, body, fixed, access, security, mode, comment in self.rows(_ROUTINES):
            yield (
                named(kind.lower(), name),
                _join(
                    f"({parameters.get((kind, name), '')})",
                    returns and f"returns {returns}",
                    "deterministic" if fixed == "YES" else "",
                    access.lower(),
                    f"sql security {security.lower()}",
                    self.visible(kind, name, body, self.flavour.sees_routines),
                    mode,
                    comment and f"comment {comment}",
                ),
            )

    def events(self) -> Iterator[tuple[str, str]]:
        import pymysql

        try:  # information_schema leaves out in silence what SHOW refuses
            self.cursor.execute(f"SHOW EVENTS FROM `{self.database.replace('`', '``')}`")
        except pymysql.MySQLError as error:
            if error.args[0] != ACCESS_DENIED:
                raise
            raise self._hidden(f"the events of {self.database}", self.on_database("EVENT")) from error
        for name, *rest in self.rows(_EVENTS):
            *schedule, body, mode, comment = rest
            when = " ".join(str(s).lower() for s in schedule if s is not None)
            yield named("event", name), _join(when, self.bare(body), mode, comment and f"comment {comment}")

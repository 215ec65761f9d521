"""The schema of a SQLite database, read from the SQL that sqlite_master keeps.

A batch rebuild writes the same table with other quotes, white space, order of columns and places of
constraints. So CREATE TABLE is taken apart into columns and constraints, each written in one canonical
way. No token is dropped unless it means nothing to SQLite, and a statement that is not understood is kept
as it is, so that two schemas that differ never look equal.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

from ci_migrate.databases.sqlite.mark import NAME as MARK
from ci_migrate.databases.sqlite.tokens import (
    RESERVED,
    Cursor,
    NotUnderstoodError,
    Token,
    canonical,
    items,
    name_at,
    tokens_of,
    unquote,
)
from ci_migrate.model import Schema

_NOT_A_TYPE = (
    *("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES"),
    *("GENERATED", "AS"),
)


def _index_text(tokens: Sequence[Token]) -> str:
    """One member of an index or key: a name or an expression, with its collation and direction."""
    tokens = list(tokens)
    if len(tokens) > 1 and tokens[-1].is_word("ASC"):
        tokens.pop()
    end = ""
    if len(tokens) > 1 and tokens[-1].is_word("DESC"):
        tokens.pop()
        end = " DESC"
    name, rest = tokens[0], tokens[1:]
    if name.kind in {"name", "word"} and (not rest or rest[0].is_word("COLLATE")):
        bare = name.kind == "word" and name.text.upper() in RESERVED | {"TRUE", "FALSE"}
        collation = f" COLLATE {name_at(unquote(rest[1]).upper())}" if len(rest) == 2 else ""
        if not bare and (not rest or collation):
            return name_at(name.text) + collation + end
    return f"({canonical(tokens)}){end}"


def _members(tokens: Sequence[Token]) -> str:
    return ", ".join(_index_text(item) for item in items(tokens))


def _names(tokens: Sequence[Token]) -> str:
    return ", ".join(name_at(unquote(t)) for t in tokens if t.text != "," or t.kind != "mark")


def _unwrap(tokens: list[Token]) -> list[Token]:
    """Without parentheses around all of it."""
    while len(tokens) > 2 and tokens[0].text == "(":
        cursor = Cursor(tokens)
        inner = cursor.group()
        if cursor.more:
            break
        tokens = inner
    return tokens


def _conflict(cursor: Cursor) -> str:
    return f" ON CONFLICT {cursor.next().text.upper()}" if cursor.takes("ON", "CONFLICT") else ""


@dataclass
class _Column:
    name: str
    type: str
    not_null: str = ""
    default: str = ""
    rest: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        parts = (self.type or "(no type)", self.not_null, self.default, *sorted(self.rest))
        return " ".join(p for p in parts if p)


class _Table:
    """Takes a CREATE TABLE apart."""

    def __init__(self, name: str, sql: str) -> None:
        self.label = name_at(name)
        self.columns: list[_Column] = []
        self.constraints: list[tuple[str, str]] = []
        self.key = ""
        cursor = Cursor(tokens_of(sql))
        if not cursor.takes("CREATE", "TABLE"):
            raise NotUnderstoodError
        cursor.next()
        for item in items(cursor.group()):
            self._item(Cursor(item))
        self.options = sorted(canonical(option).upper() for option in items(cursor.tokens[cursor.at :]))

    def _item(self, cursor: Cursor) -> None:
        if cursor.tokens[0].is_word("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"):
            self._constraints(cursor, None)
            return
        column = _Column(unquote(cursor.next()), "")
        words = []
        while cursor.more and not cursor.tokens[cursor.at].is_word(*_NOT_A_TYPE):
            if cursor.tokens[cursor.at].kind not in ("word", "name", "text"):
                break
            words.append(name_at(unquote(cursor.next()).upper()))
        arguments = ", ".join(canonical(i) for i in items(cursor.group())) if cursor.sees_group() else ""
        column.type = " ".join(words) + (f"({arguments})" if arguments else "")
        self.columns.append(column)
        self._constraints(cursor, column)

    def _constraints(self, cursor: Cursor, column: _Column | None) -> None:
        name = ""
        while cursor.more:
            if cursor.takes("CONSTRAINT"):
                name = f"CONSTRAINT {name_at(unquote(cursor.next()))} "
                continue
            if self._shared(cursor, column, name) or (column is not None and self._of_column(cursor, column)):
                name = ""
                continue
            raise NotUnderstoodError
        if name:
            raise NotUnderstoodError

    def _shared(self, cursor: Cursor, column: _Column | None, name: str) -> bool:
        """Constraints that a column or the table may have: the same thing, whichever has it."""
        if cursor.takes("PRIMARY", "KEY"):
            self._primary_key(cursor, column, name)
        elif cursor.takes("UNIQUE"):
            members = _members(cursor.group()) if column is None else name_at(column.name)
            self._add(f"unique({members})", f"{name}UNIQUE ({members}){_conflict(cursor)}")
        elif cursor.takes("CHECK"):
            expression = canonical(_unwrap(cursor.group()))
            self._add(f"check({expression})", f"{name}CHECK ({expression}){_conflict(cursor)}")
        elif column is None and cursor.takes("FOREIGN", "KEY"):
            self._foreign_key(cursor, _names(cursor.group()), name)
        elif column is not None and cursor.sees("REFERENCES"):
            self._foreign_key(cursor, name_at(column.name), name)
        else:
            return False
        return True

    def _primary_key(self, cursor: Cursor, column: _Column | None, name: str) -> None:
        automatic = False
        if column is None:
            group = cursor.group()
            automatic = bool(group) and group[-1].is_word("AUTOINCREMENT")
            members = _members(group[:-1] if automatic else group)
        else:
            members = name_at(column.name)
            # INTEGER PRIMARY KEY DESC of a column is no alias of the rowid, PRIMARY KEY (id DESC) is one.
            members += " DESC of the column" if cursor.takes("DESC") else ""
            cursor.takes("ASC")
        conflict = _conflict(cursor)
        automatic = cursor.takes("AUTOINCREMENT") or automatic
        self.key = members
        end = " AUTOINCREMENT" if automatic else ""
        self._add("primary key", f"{name}PRIMARY KEY ({members}){conflict}{end}")

    def _foreign_key(self, cursor: Cursor, columns: str, name: str) -> None:
        if not cursor.takes("REFERENCES"):
            raise NotUnderstoodError
        table = name_at(unquote(cursor.next()))
        referred = f"({_names(cursor.group())})" if cursor.sees_group() else ""
        clauses = {}
        while cursor.more:
            if cursor.sees("ON", "DELETE") or cursor.sees("ON", "UPDATE"):
                cursor.next()
                event = cursor.next().text.upper()
                action = cursor.next().text.upper()
                action += f" {cursor.next().text.upper()}" if action in ("SET", "NO") else ""
                clauses[f"ON {event}"] = "" if action == "NO ACTION" else f" ON {event} {action}"
            elif cursor.takes("MATCH"):
                clauses["MATCH"] = f" MATCH {cursor.next().text.upper()}"
            elif cursor.takes("NOT", "DEFERRABLE"):
                _initially(cursor)
                clauses["DEFERRABLE"] = ""
            elif cursor.takes("DEFERRABLE"):
                clauses["DEFERRABLE"] = " DEFERRABLE" + _initially(cursor)
            else:
                break
        text = f"{name}FOREIGN KEY ({columns}) REFERENCES {table}{referred}"
        self._add(f"foreign key({columns})", text + "".join(text for _, text in sorted(clauses.items())))

    def _of_column(self, cursor: Cursor, column: _Column) -> bool:
        if cursor.takes("NOT", "NULL"):
            column.not_null = f"NOT NULL{_conflict(cursor)}"
        elif cursor.takes("NULL"):
            _conflict(cursor)
        elif cursor.takes("DEFAULT"):
            signed = cursor.more and cursor.tokens[cursor.at].text in ("+", "-")
            sign = [cursor.next()] if signed else []
            value = _unwrap(cursor.group()) if cursor.sees_group() else [cursor.next()]
            column.default = f"DEFAULT {canonical([*sign, *value])}"
        elif cursor.takes("COLLATE"):
            collation = name_at(unquote(cursor.next()).upper())
            column.rest = [r for r in column.rest if not r.startswith("COLLATE ")]  # the last one wins
            column.rest.append("" if collation == "BINARY" else f"COLLATE {collation}")
        elif cursor.takes("GENERATED", "ALWAYS", "AS") or cursor.takes("AS"):
            expression = canonical(_unwrap(cursor.group()))
            stored = "STORED" if cursor.takes("STORED") else "VIRTUAL"
            cursor.takes("VIRTUAL")
            column.rest.append(f"GENERATED ALWAYS AS ({expression}) {stored}")
        else:
            return False
        return True

    def _add(self, key: str, text: str) -> None:
        self.constraints.append((f"constraint {self.label}.{key}", text))

    def objects(self) -> Schema:
        schema = {f"table {self.label}": " ".join(("TABLE", ", ".join(self.options))).strip()}
        for column in self.columns:
            # NOT NULL says nothing about an alias of the rowid, and a rebuild adds it.
            alias = column.type == "INTEGER" and self.key == name_at(column.name) and not self.options
            if alias and column.not_null == "NOT NULL":
                column.not_null = ""
            schema[f"column {self.label}.{name_at(column.name)}"] = column.text
        for key, text in sorted(self.constraints):
            schema[key] = f"{schema[key]} | {text}" if key in schema else text
        return schema


def _initially(cursor: Cursor) -> str:
    return f" INITIALLY {cursor.next().text.upper()}" if cursor.takes("INITIALLY") else ""


def _table(name: str, sql: str) -> Schema:
    tokens = tokens_of(sql)
    if tokens[1].is_word("VIRTUAL"):
        # A module's arguments are its own language: as they were written.
        using = next(t for t in tokens[3:] if t.is_word("USING"))
        return {f"table {name_at(name)}": f"VIRTUAL TABLE USING {sql[using.end :].strip()}"}
    try:
        return _Table(name, sql).objects()
    except (NotUnderstoodError, IndexError):
        return {f"table {name_at(name)}": canonical(tokens)}


def _index(table: str, name: str, sql: str) -> Schema:
    cursor = Cursor(tokens_of(sql))
    cursor.next()
    unique = "UNIQUE " if cursor.takes("UNIQUE") else ""
    while cursor.more and not cursor.sees_group():
        cursor.next()
    members = _members(cursor.group())
    where = canonical(cursor.tokens[cursor.at :])
    return {f"index {name_at(table)}.{name_at(name)}": f"{unique}INDEX ({members}) {where}".strip()}


def _objects(kind: str, name: str, table: str, sql: str) -> Schema:
    if kind == "table":
        return _table(name, sql)
    if kind == "index":
        return _index(table, name, sql)
    where = "" if kind == "view" else f"{name_at(table)}."
    return {f"{kind} {where}{name_at(name)}": canonical(tokens_of(sql))}


Row = tuple[str, str, str, str]
"""type, name, table, SQL: a row of sqlite_master."""

_SHADOWS = (
    *("content", "data", "idx", "docsize", "config", "segments", "segdir", "stat", "node", "parent", "rowid"),
)


def all_rows(connection: sqlite3.Connection) -> list[Row]:
    """What has SQL, without sqlite_* and our mark. Bytes that are no UTF-8, as in a DEFAULT, are written in hex."""
    query = (
        "SELECT type, name, tbl_name, sql FROM main.sqlite_master"
        f" WHERE sql IS NOT NULL AND lower(substr(name, 1, 7)) != 'sqlite_' AND name != '{MARK}'"
    )
    rows: list[Row]
    factory, connection.text_factory = connection.text_factory, str
    try:
        try:  # in a long history this is asked a thousand times, of a thousand rows
            rows = connection.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "UTF-8" not in str(error):
                raise
            connection.text_factory = _text
            rows = connection.execute(query).fetchall()
    finally:
        connection.text_factory = factory
    return rows


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "backslashreplace")


def user_rows(connection: sqlite3.Connection) -> list[Row]:
    """What the user made: as `all_rows`, without the tables in which virtual tables keep their data."""
    rows = all_rows(connection)
    virtual = [(name, sql) for kind, name, _, sql in rows if kind == "table" and is_virtual(sql)]
    if not virtual:
        return rows
    listed = connection.execute("PRAGMA main.table_list").fetchall()
    shadows = {row[1] for row in listed if row[2] == "shadow"}
    if not listed:  # SQLite before 3.37
        shadows = {f"{name}_{suffix}" for name, _ in virtual for suffix in _SHADOWS}
    # SQLite goes by the names alone. A table that the arguments name (content='docs_content') is the user's.
    shadows -= {unquote(token) for _, sql in virtual for token in tokens_of(sql)}
    return [row for row in rows if row[2] not in shadows]


def is_virtual(sql: str) -> bool:
    """Whether the SQL of a table is that of a virtual one."""
    return sql[:15].upper() == "CREATE VIRTUAL "


class Catalog:
    """Reads the schema and remembers what it made of each object, so that only what changed is read again."""

    def __init__(self) -> None:
        self._known: dict[Row, Schema] = {}
        self._state: object = None
        self._schema: Schema = {}

    def schema(self, connection: sqlite3.Connection, place: object) -> Schema:
        """All objects. Gives the same dict again while `place` and SQLite's schema version are the same."""
        state = (place, connection.execute("PRAGMA main.schema_version").fetchone()[0])
        if place is not None and state == self._state:
            return self._schema
        rows = set(user_rows(connection))
        schema = dict(self._schema)  # given out before: never changed in place
        for row in self._known.keys() - rows:
            for name in self._known.pop(row):
                schema.pop(name, None)
        for row in rows - self._known.keys():
            self._known[row] = objects = _objects(*row)
            schema.update(objects)
        self._state, self._schema = state, schema
        return schema

"""What counts as a value that holds something, on each engine: not NULL, and not empty. F92."""

import msgspec
import pytest
from sqlalchemy import URL, create_engine, text

from ci_migrate.databases.base import Database
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.databases.sqlite.rows import LARGE
from ci_migrate.model import ColumnContent, TableContent

EMPTY = ["", " ", " \n\t\r ", " " * 100, "{}", "[]", "null", '""']
FULL = [
    "0",
    "a",
    " a",
    "{ }1",
    "[null]",
    "nulls",
    "NULL",
    "{}{}",
    "ä",
    "\u200b",
    " " * 100 + "x",
    "x" * 60_000,
]


@pytest.fixture(
    params=["sqlite", "postgresql_url", "mysql_url", pytest.param("mysql97_url", marks=pytest.mark.long)]
)
def database(request, tmp_path) -> Database:
    """An empty database."""
    if request.param == "sqlite":
        return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    url = request.getfixturevalue(request.param)
    return PostgreSQL(url) if url.get_backend_name() == "postgresql" else MySQL(url)


def send(database: Database, *commands: str, values: list | None = None) -> None:
    engine = create_engine(database.url)
    with engine.begin() as connection:
        for command in commands:
            connection.execute(text(command), values)
    engine.dispose()


def content(database: Database, table: str) -> TableContent:
    (found,) = database.contents([name for name in database.counts() if name.endswith(table)]).values()
    return found


def test_F92_texts_that_hold_nothing_are_told_from_those_that_do(database):
    send(database, "CREATE TABLE t (id integer PRIMARY KEY, note text, code varchar(200))")
    rows = [{"i": n, "t": value, "c": (value or "")[:120]} for n, value in enumerate([*EMPTY, *FULL, None])]
    send(database, "INSERT INTO t VALUES (:i, :t, :c)", values=rows)
    found = content(database, "t").columns
    assert (found["note"].values, found["note"].filled) == (len(EMPTY) + len(FULL), len(FULL))
    assert (found["code"].values, found["code"].filled) == (len(rows), len(FULL))
    assert (found["id"].values, found["id"].filled) == (len(rows), len(rows))


def test_F92_empty_ones_are_in_no_digest_of_what_is_held(database):
    send(
        database,
        *(f"CREATE TABLE {name} (id integer PRIMARY KEY, note text)" for name in ("one", "two", "three")),
    )
    send(database, "INSERT INTO one VALUES (1, 'a'), (2, ''), (3, 'b'), (4, NULL)")
    send(database, "INSERT INTO two VALUES (1, '[]'), (2, 'b'), (3, 'c'), (4, 'null')")
    send(database, "INSERT INTO three VALUES (1, 'a'), (2, 'b'), (3, 'b'), (4, '{}'), (5, 'c')")
    one, two, three = (content(database, name).columns["note"] for name in ("one", "two", "three"))
    assert one.plus(two) == (three.filled, three.filled_digest) == (4, three.filled_digest)
    send(database, "UPDATE two SET note = 'd' WHERE id = 3")
    assert one.plus(content(database, "two").columns["note"]) != (three.filled, three.filled_digest)


TYPED = {
    "postgresql": [
        ("json", "'null'", "'{}'", """'[1]'"""),
        ("jsonb", "'null'", "'[]'", """'{"a": null}'"""),
        ("text[]", "'{}'", "ARRAY[]::text[]", "'{a}'"),
        ("bytea", "''", r"'\x'", r"'\x00'"),
        ("char(80)", "''", "' '", "'a'"),
        ("tsvector", "''", "to_tsvector('english', 'the')", "to_tsvector('simple', 'the')"),
    ],
    "mysql": [
        ("json", "'null'", "'[]'", "'[0]'"),
        ("blob", "''", "' '", "x'00'"),
        ("varbinary(20)", "''", "'[]'", "x'FF'"),
        ("set('a', 'b')", "''", "''", "'a,b'"),
        ("enum('', 'a')", "''", "''", "'a'"),
        ("varchar(20) CHARACTER SET utf16", "''", "'{}'", "'a'"),
        ("varchar(20) CHARACTER SET latin1", "''", "' '", "x'e4'"),
    ],
    "sqlite": [("json", "'null'", "'{}'", "'[1]'"), ("blob", "x''", "x'5B5D'", "x'00'")],
}


def test_F92_each_type_that_may_be_empty(database):
    typed = TYPED[database.url.get_backend_name()]
    columns = ", ".join(f"c{n} {row[0]}" for n, row in enumerate(typed))
    send(database, f"CREATE TABLE t ({columns})")
    for place in (1, 2, 3):
        send(database, f"INSERT INTO t VALUES ({', '.join(row[place] for row in typed)})".replace(":", "\\:"))
    found = content(database, "t").columns
    assert {n: (c.values, c.filled) for n, c in found.items()} == {f"c{n}": (3, 1) for n in range(len(typed))}


def test_F92_beside_a_large_blob_too(tmp_path):
    """Its row is read piece by piece."""
    database = SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    send(database, "CREATE TABLE t (id integer PRIMARY KEY, data blob, note text)")
    send(database, f"INSERT INTO t VALUES (1, zeroblob({LARGE + 1}), ''), (2, x'', 'a')")
    found = content(database, "t").columns
    assert (found["data"].filled, found["note"].filled) == (1, 1)


def test_F92_what_an_earlier_version_read_has_no_such_count_and_is_no_other_content():
    now = ColumnContent(values=3, digest="7", filled=2, filled_digest="05")
    then = msgspec.json.decode(b'{"values": 3, "digest": "7"}', type=ColumnContent)
    assert then.filled is None
    assert then == now
    assert len({then, now}) == 1
    assert then != ColumnContent(values=3, digest="8")
    assert TableContent(rows=3, columns={"a": then}) == TableContent(rows=3, columns={"a": now})
    assert (then.held, now.held) == (3, 2)
    assert then.plus(now) is now.plus(then) is None


def test_F92_the_widest_table_of_texts(postgresql_url):
    """A query has hardly more columns than a table."""
    database = PostgreSQL(postgresql_url)
    send(database, f"CREATE TABLE t ({', '.join(f'c{n} text' for n in range(1600))})")
    send(database, "INSERT INTO t (c0, c1, c2) VALUES ('{}', '', 'a')")
    found = content(database, "t").columns
    assert [found[f"c{n}"].filled for n in range(4)] == [0, 0, 1, 0]

"""Which tables a dry run changed, as each engine tells its schema."""

import pytest

from ci_migrate.databases.base import Database
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import Fingerprint, RowCount, SchemaChange, schema_changes
from ci_migrate.reports.touched_tables import Fate, Line, in_words, touched_tables
from ci_migrate.testing.database_samples import execute

MINUS = "\N{MINUS SIGN}"

BEFORE = (
    "CREATE TABLE books (id INTEGER PRIMARY KEY, isbn VARCHAR(20))",
    "CREATE TABLE old (id INTEGER PRIMARY KEY, book INTEGER, CONSTRAINT old_book FOREIGN KEY (book) REFERENCES books (id))",
    "CREATE TABLE people (id INTEGER PRIMARY KEY, nick VARCHAR(20), name VARCHAR(20), a INTEGER)",
)
AFTER = (
    "DROP TABLE old",
    "ALTER TABLE people DROP COLUMN nick",
    "ALTER TABLE people ADD COLUMN email VARCHAR(50)",
    "CREATE UNIQUE INDEX ix_people_email ON people (email)",
    (
        'CREATE TABLE "order" (id INTEGER PRIMARY KEY, "us.er" INTEGER, above INTEGER, book INTEGER,'
        ' CONSTRAINT fk_user FOREIGN KEY ("us.er") REFERENCES people (id) ON DELETE CASCADE,'
        ' CONSTRAINT fk_above FOREIGN KEY (above) REFERENCES "order" (id),'
        " CONSTRAINT fk_book FOREIGN KEY (book) REFERENCES books (id))"
    ),
    "CREATE VIEW shown AS SELECT isbn FROM books",
)


@pytest.fixture(params=["sqlite", "postgresql", "mysql", "mysql97"])
def database(request, tmp_path) -> Database:
    if request.param == "postgresql":
        return PostgreSQL(request.getfixturevalue("postgresql_url"))
    if request.param.startswith("mysql"):
        return MySQL(request.getfixturevalue(f"{request.param}_url"))
    from sqlalchemy import URL

    return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))


def touched(samples, before, after, **more):
    return touched_tables(
        samples.evidence(
            before=Fingerprint.of(before),
            after=Fingerprint.of(after),
            changes=schema_changes(before, after),
            **more,
        )
    )


def test_each_engine_is_understood(database, samples) -> None:
    statements = AFTER if database.dialect != "mysql" else [s.replace('"', "`") for s in AFTER]
    execute(database, *BEFORE)
    before = database.schema()
    execute(database, *statements)
    found = touched(samples, before, database.schema())

    schema = "public." if database.dialect == "postgresql" else ""
    tables = {table.name.removeprefix(schema): table for table in found.tables}
    assert {name: table.fate for name, table in tables.items()} == {
        "old": Fate.DROPPED, "people": Fate.CHANGED, "order": Fate.NEW,
    }  # fmt: skip
    keys = {
        (
            name,
            line.sign,
            line.text.replace(schema, "").replace('"', "").lower(),
            line.to.removeprefix(schema),
        )
        for name, table in tables.items()
        for line in table.lines
        if line.to
    }
    assert keys == {
        ("old", MINUS, "book → books", "books"),
        ("order", "+", "us.er → people on delete cascade", "people"),
        ("order", "+", "above → order", "order"),
        ("order", "+", "book → books", "books"),
    }
    assert found.beside == (f"{schema}books",)
    people = [(line.sign, line.text.split()[:2]) for line in tables["people"].lines]
    assert people[0][0] == MINUS
    assert people[0][1][0] == "nick"
    assert people[1][0] == "+"
    assert people[1][1][0] == "email"
    assert people[2] == ("+", ["index", f"{schema}ix_people_email"])
    assert len(people) == 3
    assert set(found.others) - {"owner"} == {"view"}
    assert in_words(found) == "1 table dropped, 1 changed, 1 new; foreign keys: 3 new, 1 gone"


def test_a_key_and_its_index_are_told_once(postgresql_url, samples) -> None:
    database = PostgreSQL(postgresql_url)
    execute(database, "CREATE TABLE users (id int, email text)")
    before = database.schema()
    execute(database, "ALTER TABLE users ADD CONSTRAINT users_email UNIQUE (email)")
    (table,) = touched(samples, before, database.schema()).tables
    assert table.lines == (Line("+", "UNIQUE (email)"),)


def test_rows_are_told_with_what_holds_them(samples) -> None:
    before = {"table users": "TABLE", "column users.id": "INTEGER", "table logs": "TABLE"}
    counts = {"users": RowCount(rows=1), "logs": RowCount(rows=5000, exact=False)}
    found = touched(samples, before, {}, row_counts_before=counts)
    assert {table.name: table.rows for table in found.tables} == {"logs": "~5,000 rows", "users": "1 row"}


def test_of_several_databases_each_has_its_own(samples) -> None:
    before = {"table users": "TABLE", "table @stats.users": "TABLE"}
    after = {
        **before,
        "table @stats.visits": "TABLE",
        "constraint @stats.visits.foreign key(user_id)": "FOREIGN KEY (user_id) REFERENCES users(id)",
    }
    found = touched(samples, before, after)
    assert [table.name for table in found.tables] == ["@stats.visits"]
    assert found.beside == ("@stats.users",)


def test_what_belongs_to_no_known_table_is_counted(samples) -> None:
    names = ("column ghost.id", "view v", "extension hstore", "nonsense")
    changes = tuple(SchemaChange(name=name, before=None, after="x") for name in names)
    found = touched_tables(samples.evidence(changes=changes))
    assert found.tables == ()
    assert found.others == ("column", "view", "extension", "nonsense")


def test_a_table_whose_name_begins_like_another_keeps_what_is_its_own(samples) -> None:
    before = {"table a": "TABLE", 'table "a.b"': "TABLE", "table ab": "TABLE"}
    after = {**before, 'column "a.b".c': "INT", "column a.b": "INT", "column ab.d": "INT"}
    found = touched(samples, before, after)
    assert {table.name: [line.text for line in table.lines] for table in found.tables} == {
        "a": ["b INT"], '"a.b"': ["c INT"], "ab": ["d INT"],
    }  # fmt: skip


def test_what_changed_otherwise_is_told_in_words(samples) -> None:
    before = {"table t": "TABLE", "column t.a": "varchar(20)"}
    found = touched(samples, before, {"table t": "TABLE STRICT", "column t.a": "varchar(10) NOT NULL"})
    assert [(line.sign, line.text) for line in found.tables[0].lines] == [
        ("~", "table: was TABLE, is TABLE STRICT"),
        ("~", "a: type was varchar(20), is varchar(10), can't be NULL any more"),
    ]

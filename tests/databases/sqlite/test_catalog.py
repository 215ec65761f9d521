"""The canonical schema of SQLite: equal after a rebuild that changes nothing, different after any real change."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_migrate.databases.sqlite.catalog import Catalog
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.databases.sqlite.tokens import tokens_of

USERS = """CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    email VARCHAR(50) NOT NULL DEFAULT 'none',
    age INT CONSTRAINT ck_age CHECK (age > 0),
    team INTEGER REFERENCES teams(id) ON DELETE CASCADE,
    CONSTRAINT uq_email UNIQUE (email)
)"""


def schema(*statements: str) -> dict[str, str]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return Catalog().schema(connection, None)


def test_what_it_says() -> None:
    found = schema(
        USERS,
        "CREATE UNIQUE INDEX ix ON users (email DESC, lower(email)) WHERE age IS NOT NULL",
        "CREATE VIEW v AS SELECT email FROM users",
        "CREATE TRIGGER tr AFTER INSERT ON users BEGIN UPDATE users SET age = 1; END",
    )
    assert found == {
        "table users": "TABLE",
        "column users.id": "INTEGER",
        "column users.email": "VARCHAR(50) NOT NULL DEFAULT 'none'",
        "column users.age": "INT",
        "column users.team": "INTEGER",
        "constraint users.primary key": "PRIMARY KEY (id)",
        "constraint users.unique(email)": "CONSTRAINT uq_email UNIQUE (email)",
        "constraint users.check(age > 0)": "CONSTRAINT ck_age CHECK (age > 0)",
        "constraint users.foreign key(team)": "FOREIGN KEY (team) REFERENCES teams(id) ON DELETE CASCADE",
        "index users.ix": "UNIQUE INDEX (email DESC, (lower(email))) WHERE age IS NOT NULL",
        "view v": "CREATE VIEW v AS SELECT email FROM users",
        "trigger users.tr": "CREATE TRIGGER tr AFTER INSERT ON users BEGIN UPDATE users SET age = 1 ; END",
    }


SAME = [
    ("CREATE TABLE t (a INT, b TEXT)", 'create table "t"([b] text,\n`a` int -- a, comment (\n)'),
    ("CREATE TABLE t (a INT UNIQUE)", "CREATE TABLE t (a INT, UNIQUE (a))"),
    ("CREATE TABLE t (a INT UNIQUE)", "CREATE TABLE t (a INT, UNIQUE ([a] ASC))"),
    ("CREATE TABLE t (a INT CHECK (a > 1))", 'CREATE TABLE t (a INT, CHECK (("a">1)))'),
    ("CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE TABLE t (id INTEGER NOT NULL, PRIMARY KEY (id))"),
    ("CREATE TABLE t (a REFERENCES p (x))", 'CREATE TABLE t (a, FOREIGN KEY("a") REFERENCES "p"("x"))'),
    (
        "CREATE TABLE t (a REFERENCES p (x) ON UPDATE CASCADE ON DELETE NO ACTION)",
        "CREATE TABLE t (a REFERENCES p (x) ON DELETE NO ACTION NOT DEFERRABLE ON UPDATE CASCADE)".replace(
            "NOT DEFERRABLE ON UPDATE CASCADE", "ON UPDATE CASCADE NOT DEFERRABLE"
        ),
    ),
    ("CREATE TABLE t (a DEFAULT CURRENT_TIMESTAMP)", "CREATE TABLE t (a DEFAULT (CURRENT_TIMESTAMP))"),
    ("CREATE TABLE t (a DEFAULT -1)", "CREATE TABLE t (a DEFAULT (- 1))"),
    ("CREATE TABLE t (a NUMERIC(10,2))", "CREATE TABLE t (a numeric ( 10 , 2 ))"),
    ("CREATE TABLE t (a NULL)", "CREATE TABLE t (a COLLATE binary)"),
    ("CREATE TABLE t (a, CHECK (a) CHECK (a > 1))", "CREATE TABLE t (a, CHECK (a > 1), CHECK (a))"),
    ("CREATE TABLE t (a, b AS (a + 1))", "CREATE TABLE t (a, b GENERATED ALWAYS AS (a+1) VIRTUAL)"),
    (
        "CREATE TABLE t (a INT PRIMARY KEY) STRICT, WITHOUT ROWID",
        "CREATE TABLE t (a INT PRIMARY KEY) WITHOUT ROWID, STRICT",
    ),
    ('CREATE TABLE t ("key" INT UNIQUE)', "CREATE TABLE t (key INT, UNIQUE (key))"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_table_written_otherwise(one: str, other: str) -> None:
    assert schema(one) == schema(other)


DIFFERENT = [
    ("CREATE TABLE t (a)", "CREATE TABLE t (b)"),
    ("CREATE TABLE t (a)", "CREATE TABLE u (a)"),
    ("CREATE TABLE t (a INT)", "CREATE TABLE t (a INTEGER)"),
    ("CREATE TABLE t (a VARCHAR(5))", "CREATE TABLE t (a VARCHAR(6))"),
    ("CREATE TABLE t (a)", "CREATE TABLE t (a NOT NULL)"),
    ("CREATE TABLE t (a NOT NULL)", "CREATE TABLE t (a NOT NULL ON CONFLICT IGNORE)"),
    ("CREATE TABLE t (a)", "CREATE TABLE t (a DEFAULT NULL)"),
    ("CREATE TABLE t (a DEFAULT 1)", "CREATE TABLE t (a DEFAULT '1')"),
    ("CREATE TABLE t (a DEFAULT 'X')", "CREATE TABLE t (a DEFAULT 'x')"),
    ("CREATE TABLE t (a DEFAULT true)", 'CREATE TABLE t (a DEFAULT "true")'),
    ("CREATE TABLE t (a DEFAULT ' ')", "CREATE TABLE t (a DEFAULT '  ')"),
    ("CREATE TABLE t (a DEFAULT '-- b')", "CREATE TABLE t (a DEFAULT '-- c')"),
    ("CREATE TABLE t (a COLLATE NOCASE)", "CREATE TABLE t (a)"),
    ("CREATE TABLE t (a COLLATE NOCASE)", "CREATE TABLE t (a COLLATE RTRIM)"),
    ("CREATE TABLE t (a UNIQUE)", "CREATE TABLE t (a)"),
    ("CREATE TABLE t (a UNIQUE)", "CREATE TABLE t (a UNIQUE ON CONFLICT REPLACE)"),
    ("CREATE TABLE t (a, UNIQUE (a COLLATE NOCASE))", "CREATE TABLE t (a, UNIQUE (a))"),
    ("CREATE TABLE t (a, b, UNIQUE (a, b))", "CREATE TABLE t (a, b, UNIQUE (b, a))"),
    ("CREATE TABLE t (a, CONSTRAINT x UNIQUE (a))", "CREATE TABLE t (a, CONSTRAINT y UNIQUE (a))"),
    ("CREATE TABLE t (a CHECK (a > 1))", "CREATE TABLE t (a CHECK (a > 2))"),
    ("CREATE TABLE t (a CHECK (a > 1))", "CREATE TABLE t (a CHECK (a > 1) CHECK (a > 1))"),
    ('CREATE TABLE t ("null", CHECK (1 IS "null"))', 'CREATE TABLE t ("null", CHECK (1 IS null))'),
    ("CREATE TABLE t (a CHECK (a IN ('a,b')))", "CREATE TABLE t (a CHECK (a IN ('a','b')))"),
    ("CREATE TABLE t (a CHECK (a = '('))", "CREATE TABLE t (a CHECK (a = ')'))"),
    ("CREATE TABLE t (a INTEGER PRIMARY KEY)", "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT)"),
    ("CREATE TABLE t (a INTEGER PRIMARY KEY)", "CREATE TABLE t (a INTEGER PRIMARY KEY DESC)"),
    ("CREATE TABLE t (a INTEGER, PRIMARY KEY (a DESC))", "CREATE TABLE t (a INTEGER PRIMARY KEY DESC)"),
    ("CREATE TABLE t (a, b, PRIMARY KEY (a, b))", "CREATE TABLE t (a, b, PRIMARY KEY (b, a))"),
    ("CREATE TABLE t (a INT PRIMARY KEY)", "CREATE TABLE t (a INT PRIMARY KEY) WITHOUT ROWID"),
    ("CREATE TABLE t (a INT)", "CREATE TABLE t (a INT) STRICT"),
    ("CREATE TABLE t (a REFERENCES p (x))", "CREATE TABLE t (a REFERENCES p (y))"),
    ("CREATE TABLE t (a REFERENCES p (x))", "CREATE TABLE t (a REFERENCES q (x))"),
    ("CREATE TABLE t (a REFERENCES p (x))", "CREATE TABLE t (a REFERENCES p (x) ON DELETE CASCADE)"),
    (
        "CREATE TABLE t (a REFERENCES p ON DELETE CASCADE)",
        "CREATE TABLE t (a REFERENCES p ON UPDATE CASCADE)",
    ),
    ("CREATE TABLE t (a REFERENCES p)", "CREATE TABLE t (a REFERENCES p DEFERRABLE INITIALLY DEFERRED)"),
    ("CREATE TABLE t (a, b AS (a + 1))", "CREATE TABLE t (a, b AS (a + 1) STORED)"),
    ("CREATE TABLE t (a, b AS (a + 1))", "CREATE TABLE t (a, b AS (a - 1))"),
    ("CREATE TABLE t (a, b)", "CREATE TABLE t (a b)"),
    ('CREATE TABLE t ("a b")', "CREATE TABLE t (a b)"),
    ('CREATE TABLE "t.a" (b)', 'CREATE TABLE t ("a.b")'),
    ("CREATE VIRTUAL TABLE t USING fts5 (a)", "CREATE VIRTUAL TABLE t USING fts5 (b)"),
    ("CREATE VIRTUAL TABLE t USING fts5 (a)", "CREATE VIRTUAL TABLE t USING fts4 (a)"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_small_real_differences(one: str, other: str) -> None:
    assert schema(one) != schema(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)"),
        ("CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a DESC)"),
        ("CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a COLLATE NOCASE)"),
        ("CREATE INDEX i ON t (a, b)", "CREATE INDEX i ON t (b, a)"),
        ("CREATE INDEX i ON t (a) WHERE b > 1", "CREATE INDEX i ON t (a) WHERE b > 2"),
        ("CREATE INDEX i ON t (lower(a))", "CREATE INDEX i ON t (upper(a))"),
        ("CREATE INDEX i ON t (a || 'x')", "CREATE INDEX i ON t (a || 'X')"),
        ("CREATE VIEW v AS SELECT a FROM t", "CREATE VIEW v AS SELECT a AS A FROM t"),
        ("CREATE VIEW v AS SELECT 1 AS key", "CREATE VIEW v AS SELECT 1 AS KEY"),
        ("CREATE VIEW v AS SELECT 'x  y'", "CREATE VIEW v AS SELECT 'x y'"),
        (
            "CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
            "CREATE TRIGGER g BEFORE INSERT ON t BEGIN SELECT 1; END",
        ),
    ],
)
def test_small_real_differences_of_other_objects(one: str, other: str) -> None:
    table = "CREATE TABLE t (a, b)"
    assert schema(table, one) != schema(table, other)
    assert len(schema(table, one)) == len(schema(table)) + 1


def test_a_rename_that_is_undone_is_nothing() -> None:
    statements = (USERS, "CREATE INDEX ix ON users (email)", "CREATE VIEW v AS SELECT email FROM users")
    undone = ("ALTER TABLE users RENAME TO old", "ALTER TABLE old RENAME TO users")
    undone += ("ALTER TABLE users RENAME COLUMN age TO years", "ALTER TABLE users RENAME COLUMN years TO age")
    assert schema(*statements, *undone) == schema(*statements)


def test_the_tables_of_a_virtual_table_are_left_out() -> None:
    found = schema(
        "CREATE TABLE docs_content (id INTEGER PRIMARY KEY, body)",
        "CREATE VIRTUAL TABLE docs USING fts5(body, content='docs_content', content_rowid='id')",
        "CREATE VIRTUAL TABLE other USING fts5(body)",
        "CREATE VIRTUAL TABLE places USING rtree(id, a, b)",
    )
    tables = {name for name in found if name.startswith("table ")}
    assert tables == {"table docs", "table docs_content", "table other", "table places"}


def test_what_sqlite_makes_is_left_out() -> None:
    found = schema(
        "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT, b UNIQUE)",
        "INSERT INTO t VALUES (1, 2)",
        "ANALYZE",
    )
    assert not [name for name in found if "sqlite_" in name]


# ------------------------------------------------------------------ what Alembic's batch mode makes of it


REBUILT = [
    "create table users (\"id\" integer primary key, email varchar(50) default ('x') not null, age integer default 0)",
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE, age NUMERIC(10,2), at DATETIME DEFAULT CURRENT_TIMESTAMP)",
    """CREATE TABLE users (id INTEGER NOT NULL, email VARCHAR, age INTEGER, "key" TEXT, PRIMARY KEY (id),
        CONSTRAINT fk FOREIGN KEY(age) REFERENCES teams (id) ON DELETE SET NULL ON UPDATE CASCADE,
        CONSTRAINT ck CHECK (email != 'a, (b' and age in (1,2)), CONSTRAINT uq UNIQUE (email, "key"))""",
]


@pytest.mark.parametrize("table", REBUILT)
def test_batch_rebuilds_that_lead_back(tmp_path: Path, table: str) -> None:
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    database = SQLite(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE teams (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(table)
        connection.exec_driver_sql("CREATE INDEX ix_age ON users (age, email)")
    before = database.schema()
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
        with operations.batch_alter_table("users", recreate="always") as batch:
            batch.alter_column("more", nullable=False, type_=sa.String(3))
    changed = database.schema()
    assert changed["column users.more"] == "VARCHAR(3) NOT NULL"
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("users", recreate="always") as batch:
            batch.drop_column("more")
    assert database.schema() == before


def test_a_rebuild_that_loses_something_is_seen(tmp_path: Path) -> None:
    """SQLAlchemy reflects neither the direction of an index nor a conflict clause: the rebuilt table lacks them."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE ON CONFLICT IGNORE)"
        )
        connection.exec_driver_sql("CREATE INDEX ix ON t (a DESC)")
    before = SQLite(url).schema()
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("t", recreate="always") as batch:
            batch.add_column(sa.Column("more", sa.Integer))
    after = SQLite(url).schema()
    assert before["index t.ix"] != after["index t.ix"]
    assert before["constraint t.unique(a)"] != after["constraint t.unique(a)"]


# ------------------------------------------------------------------ any table, written in any way

NAMES = ["a", "b", "key", "Desc", "select", "two words", "x'y", 'q"q', "null", "été"]
LITERALS = ["0", "-1", "1.5e3", "'x'", "'it''s, (ok'", "'-- no'", "NULL", "CURRENT_DATE", "x'00ff'", "true"]
CHECK = re.compile(r" CHECK \(1 IN \(2, [^)]*\)\)")
SPACES = st.sampled_from([" ", "\n", "\t ", " /* , ( ' */ ", ' -- ) "\n'])


@st.composite
def columns(draw: st.DrawFn) -> str:
    parts = [draw(st.sampled_from(["", "INT", "varchar(5)", "NUMERIC(10, 2)", "double precision"]))]
    if draw(st.booleans()):
        parts.append("NOT NULL" + draw(st.sampled_from(["", " ON CONFLICT FAIL"])))
    if draw(st.booleans()):
        parts.append(f"DEFAULT {draw(st.sampled_from(LITERALS))}")
    if draw(st.booleans()):
        parts.append(f"COLLATE {draw(st.sampled_from(['NOCASE', 'RTRIM']))}")
    if draw(st.booleans()):
        parts.append(f"CHECK (1 IN (2, {draw(st.sampled_from(LITERALS[:7]))}))")
    if draw(st.booleans()):
        parts.append("UNIQUE")
    return " ".join(parts)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique_by=str.lower))
    return {name: draw(columns()) for name in names}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def written(table: dict[str, str]) -> str:
    return f"CREATE TABLE t ({', '.join(f'{quoted(name)} {rest}' for name, rest in table.items())})"


@settings(deadline=None, max_examples=150)
@given(tables(), st.data())
def test_white_space_quotes_case_and_order_mean_nothing(table: dict[str, str], data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(table.items()))))
    other = ""
    for token in tokens_of(written(shuffled)):
        text = token.text
        if token.kind == "name":
            quotes = ['""', "``"] + (["[]"] if "]" not in text else [])
            left, right = data.draw(st.sampled_from(quotes))
            text = left + (text if left == "[" else text.replace(left, left * 2)) + right
        elif token.kind == "word" and text not in ("t", "CURRENT_DATE", "true"):
            text = data.draw(st.sampled_from([text.lower(), text.upper()]))
        other += text + data.draw(SPACES)
    assert schema(written(table)) == schema(other)


@settings(deadline=None, max_examples=150)
@given(tables(), tables())
def test_different_tables_never_look_equal(one: dict[str, str], other: dict[str, str]) -> None:
    def folded(text: str) -> str:
        return text.lower() if "'" not in text else text

    def meaning(table: dict[str, str]) -> tuple[dict[str, str], list[str]]:
        # a CHECK belongs to the table, wherever it was written: these name no column
        checks = [folded(check) for rest in table.values() for check in CHECK.findall(rest)]
        return {name: folded(CHECK.sub("", rest)) for name, rest in table.items()}, sorted(checks)

    assert (schema(written(one)) == schema(written(other))) == (meaning(one) == meaning(other))


# ------------------------------------------------------------------ what it remembers


def test_the_same_dict_as_long_as_nothing_changed(tmp_path: Path) -> None:
    database = SQLite(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    with closing(sqlite3.connect(database.file, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (x)")
        first = database.schema()
        connection.execute("INSERT INTO a VALUES (1)")
        assert database.schema() is first
        connection.execute("CREATE TABLE b (x)")
        second = database.schema()
        assert second.keys() - first.keys() == {"table b", "column b.x"}
        connection.execute("DROP TABLE a")
        connection.execute("CREATE TABLE a (y)")
        assert "column a.y" in database.schema()
        assert "column a.x" not in database.schema()
        assert "column a.x" in first
        connection.execute("BEGIN")
        connection.execute("DROP TABLE a")
        connection.execute("ROLLBACK")
        assert "column a.y" in database.schema()


def test_a_long_history_reads_each_table_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ci_migrate.databases.sqlite import catalog as sqlite_catalog

    read = []
    real = sqlite_catalog._objects
    monkeypatch.setattr(sqlite_catalog, "_objects", lambda *row: read.append(row) or real(*row))
    database = SQLite(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    with closing(sqlite3.connect(database.file, isolation_level=None)) as connection:
        for number in range(50):
            connection.execute(f"CREATE TABLE t{number} (x)")
            assert len(database.schema()) == 2 * (number + 1)
    assert len(read) == 50


def test_another_file_in_the_same_place_is_read_again(tmp_path: Path) -> None:
    database = SQLite(sa.URL.create("sqlite", database=str(tmp_path / "app.db")))
    for name in ("one", "two"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute(f"CREATE TABLE {name} (x)")
    (tmp_path / "one").rename(database.file)
    assert "table one" in database.schema()
    (tmp_path / "two").rename(database.file)
    assert database.schema().keys() == {"table two", "column two.x"}

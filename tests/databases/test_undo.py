"""Undoing additions: one of each kind of object on PostgreSQL, MariaDB and SQLite."""

import pytest

from ci_migrate.databases.base import Database
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.names import column_of, parts
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.testing.database_samples import execute

POSTGRESQL = """
CREATE SCHEMA "od.d ""x"
CREATE EXTENSION hstore
CREATE TYPE "od.d ""x".mood AS ENUM ('sad', 'ok')
CREATE DOMAIN mail AS text CHECK (VALUE ~ '@')
CREATE SEQUENCE ticket
CREATE FUNCTION twice(a integer, b text DEFAULT ';') RETURNS integer LANGUAGE sql AS 'SELECT a * 2'
CREATE PROCEDURE tidy() LANGUAGE sql AS ''
CREATE TABLE "od.d ""x"."us.er" (id serial PRIMARY KEY, "or""der" mail UNIQUE, mood "od.d ""x".mood DEFAULT 'ok', n int CHECK (n > 0))
CREATE TABLE other (id int PRIMARY KEY, u int CONSTRAINT fk REFERENCES "od.d ""x"."us.er", old int REFERENCES kept (id))
ALTER TABLE "od.d ""x"."us.er" ADD CONSTRAINT back FOREIGN KEY (n) REFERENCES other (id)
CREATE TABLE parted (id int, day date) PARTITION BY RANGE (day)
CREATE TABLE part_1 PARTITION OF parted DEFAULT
CREATE INDEX parted_day ON parted (day)
ALTER TABLE kept ADD COLUMN "select" text DEFAULT 'x', ADD COLUMN number int GENERATED ALWAYS AS IDENTITY
ALTER TABLE kept ADD CONSTRAINT positive CHECK (a > 0)
ALTER TABLE kept ADD CONSTRAINT one UNIQUE (a, b)
CREATE INDEX "user" ON kept ("select")
CREATE STATISTICS both_of ON a, b FROM kept
CREATE VIEW shown AS SELECT a, "select" FROM kept
CREATE VIEW above AS SELECT a FROM shown
CREATE MATERIALIZED VIEW mat AS SELECT a FROM above
CREATE UNIQUE INDEX mat_a ON mat (a)
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$
CREATE TRIGGER touched BEFORE UPDATE ON kept FOR EACH ROW EXECUTE FUNCTION touch()
CREATE RULE nothing AS ON DELETE TO other DO INSTEAD NOTHING
CREATE POLICY mine ON kept FOR SELECT USING (a > 0)
CREATE PUBLICATION all_of_it FOR TABLE kept
COMMENT ON COLUMN kept.a IS 'it''s a'
COMMENT ON COLUMN kept."select" IS 'new'
COMMENT ON TABLE kept IS 'kept'
COMMENT ON INDEX kept_pkey IS 'old index'
COMMENT ON TABLE other IS 'new'
COMMENT ON CONSTRAINT kept_pkey ON kept IS 'key'
GRANT SELECT ON other TO PUBLIC
"""

MARIADB = """
CREATE TABLE `us.er` (id INT AUTO_INCREMENT PRIMARY KEY, `or``der` VARCHAR(20) UNIQUE, n INT CHECK (n > 0), CONSTRAINT c CHECK (n < 9))
CREATE TABLE other (id INT PRIMARY KEY, u INT, CONSTRAINT fk FOREIGN KEY (u) REFERENCES `us.er` (id), old INT REFERENCES kept (id))
ALTER TABLE `us.er` ADD CONSTRAINT back FOREIGN KEY (n) REFERENCES other (id)
ALTER TABLE kept ADD COLUMN `select` VARCHAR(20) DEFAULT 'a%s', ADD COLUMN twice INT AS (a * 2), ADD INDEX both_of (a, `select`)
ALTER TABLE kept ADD CONSTRAINT positive CHECK (a > 0)
ALTER TABLE kept ADD CONSTRAINT one UNIQUE (a, b)
ALTER TABLE kept ADD CONSTRAINT up FOREIGN KEY (b) REFERENCES kept (id)
CREATE INDEX over_it ON kept (up, a)
ALTER TABLE kept ADD COLUMN down INT CHECK (down > 0), ADD CONSTRAINT fk_down FOREIGN KEY (down) REFERENCES kept (id)
CREATE VIEW shown AS SELECT a, `select` FROM kept
CREATE VIEW above AS SELECT a FROM shown
CREATE TRIGGER touched BEFORE UPDATE ON kept FOR EACH ROW SET NEW.b = NEW.b
CREATE TRIGGER touched_too BEFORE UPDATE ON other FOR EACH ROW SET NEW.u = NEW.u
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2
CREATE PROCEDURE tidy() SELECT 1
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO SELECT 1
CREATE SEQUENCE ticket
"""

SQLITE = """
CREATE TABLE "us.er" (id INTEGER PRIMARY KEY, "or""der" TEXT UNIQUE, n INT CHECK (n > 0))
CREATE INDEX "in.dex" ON "us.er" (n)
ALTER TABLE kept ADD COLUMN "select" TEXT DEFAULT 'x' CHECK ("select" <> 'y')
ALTER TABLE kept ADD COLUMN parent INTEGER REFERENCES kept (id)
CREATE INDEX ix ON kept ("select")
CREATE VIEW shown AS SELECT a, "select" FROM kept
CREATE VIEW above AS SELECT a FROM shown
CREATE TRIGGER touched AFTER UPDATE ON kept BEGIN SELECT 1; END
CREATE TRIGGER touched_too AFTER UPDATE ON "us.er" BEGIN SELECT 1; END
"""

BEFORE = {
    "postgresql": ["CREATE TABLE kept (id int PRIMARY KEY, a int, b int)"],
    "mysql": [
        "CREATE TABLE kept (id INT PRIMARY KEY, a INT, b INT, up INT, CONSTRAINT own FOREIGN KEY (up) REFERENCES kept (id))"
    ],
    "sqlite": ["CREATE TABLE kept (id INTEGER PRIMARY KEY, a INT, b INT)"],
}
ADDITIONS = {"postgresql": POSTGRESQL, "mysql": MARIADB, "sqlite": SQLITE}


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database(request, tmp_path) -> Database:
    if request.param == "postgresql":
        made = PostgreSQL(request.getfixturevalue("postgresql_url"))
    elif request.param == "mysql":
        made = MySQL(request.getfixturevalue("mysql_url"))
    else:
        from sqlalchemy import URL

        made = SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    execute(made, *BEFORE[request.param], "INSERT INTO kept (id, a, b) VALUES (1, 1, 1)")
    return made


def add(database: Database, *, together: bool) -> list[set[str]]:
    """Make one of each kind; what came at a time, the newest first."""
    added: list[set[str]] = []
    before = database.schema()
    statements = ADDITIONS[database.dialect].strip().splitlines()
    for some in [statements] if together else [[one] for one in statements]:
        execute(database, *some)
        after = database.schema()
        assert {n: after.get(n) for n in before} == before, some
        added.insert(0, after.keys() - before.keys())
        before = after
    return added


def nothing(_: object) -> None:
    """No check."""


@pytest.mark.parametrize("together", [False, True])
def test_one_of_each_kind_is_dropped(database, together: bool) -> None:
    if together and database.dialect != "postgresql":
        pytest.skip("only there one transaction makes many objects")
    before, rows = database.schema(), database.contents(["kept", "public.kept"])
    added = add(database, together=together)
    database.undo(database.undo_statements(added), nothing, nothing)
    assert database.schema() == before
    assert database.contents(["kept", "public.kept"]) == rows


def test_what_can_not_be_dropped_alone_is_refused(database) -> None:
    change: dict[str, tuple[str, str]] = {
        "postgresql": ("GRANT INSERT ON kept TO PUBLIC", "grant table public.kept to PUBLIC"),
        "sqlite": (
            "DROP TABLE kept; CREATE TABLE kept (id INTEGER PRIMARY KEY, a INT UNIQUE, b INT)",
            "unique",
        ),
        "mysql": ("SELECT 1", "database defaults"),
    }
    statement, words = change[database.dialect]
    before = database.schema()
    execute(database, *statement.split("; "))
    added = (database.schema().keys() - before.keys()) or {"database defaults"}
    with pytest.raises(RefusedError, match=words):
        database.undo_statements([added])


def test_mysql_it_says_how_far_it_came(mysql_url) -> None:
    database = MySQL(mysql_url)
    execute(database, "CREATE TABLE a (id INT)")
    with pytest.raises(DatabaseError) as caught:
        database.undo(["DROP TABLE a", "DROP TABLE none_such"], nothing, nothing)
    assert caught.value.state == "1 of 2 statements ran before it."


def test_postgresql_what_others_depend_on_waits_and_what_nobody_can_drop_changes_nothing(
    postgresql_url,
) -> None:
    database = PostgreSQL(postgresql_url)
    execute(
        database, "CREATE TABLE a (id int)", "CREATE VIEW v AS SELECT id FROM a", "CREATE TABLE b (id int)"
    )
    before = database.schema()
    with pytest.raises(
        DatabaseError, match="DROP TABLE a: cannot drop table a because other objects depend on it"
    ):
        database.undo(["DROP TABLE b", "DROP TABLE a"], nothing, nothing)
    assert database.schema() == before
    database.undo(["DROP TABLE a", "DROP VIEW v", "DROP TABLE b"], nothing, nothing)
    assert database.counts() == {}


@pytest.mark.parametrize(
    ("column", "written", "beyond"),
    [
        ("x NUMERIC(8, 2) DEFAULT 0", "0", 0),
        ("x NUMERIC(8, 2) DEFAULT 0", "1", 1),
        ("x NUMERIC(8, 2) DEFAULT 0", "NULL", 1),
        ("x VARCHAR(20) DEFAULT 'it''s %s'", "'it''s %s'", 0),
        ("x VARCHAR(20) NOT NULL DEFAULT 'a'", "'A'", 1),
        ("x VARCHAR(20)", "NULL", 0),
        ("x VARCHAR(20)", "''", 1),
    ],
)
def test_values_beyond_the_default(database, column: str, written: str, beyond: int) -> None:
    execute(database, f"ALTER TABLE kept ADD COLUMN {column}", f"UPDATE kept SET x = {written}")
    (table,) = database.counts()
    assert database.beyond_default(table, "x") == beyond


def test_names_of_keys() -> None:
    assert parts('shop."we.ird ""q""".x') == ("shop", 'we.ird "q"', "x")
    assert column_of('column shop."a.b"."c.""d"') == ('shop."a.b"', 'c."d')

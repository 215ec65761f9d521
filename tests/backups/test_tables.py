"""Backups and restores of single tables, on every engine."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pymysql
import pytest
from backups_support import owner_of_all
from permits import prune, restored, to_restore
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.restore import restore_tables
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.base import named_tables, takes_tables
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import DatabaseError, RefusedError, UsageError
from ci_migrate.model import Backup, VersionTable

SCHEMA = [
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
    "INSERT INTO alembic_version VALUES ('r1')",
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, shout TEXT GENERATED ALWAYS AS (upper(name)) STORED)",
    "INSERT INTO users (id, name) VALUES (1, 'ann'), (2, 'bob')",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE)",
    "INSERT INTO orders VALUES (10, 1), (20, 2)",
    'CREATE TABLE "od""d näme" ("a,b" TEXT)',
    "INSERT INTO \"od\"\"d näme\" VALUES ('x\ty'), (NULL), ('\\N')",
    "CREATE TABLE log (what TEXT)",
]
TRIGGERS = {
    # one that a restore would fire is refused: they can't be switched off
    "mysql": ["CREATE TRIGGER told AFTER UPDATE ON users FOR EACH ROW INSERT INTO log VALUES ('updated')"],
    "sqlite": ["CREATE TRIGGER told AFTER DELETE ON users BEGIN INSERT INTO log VALUES ('deleted'); END"],
    "postgresql": [
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO log VALUES (TG_OP); RETURN NULL; END'",
        "CREATE TRIGGER told AFTER INSERT OR DELETE OR TRUNCATE ON users FOR EACH STATEMENT EXECUTE FUNCTION tell()",
        "CREATE TRIGGER off AFTER INSERT ON users FOR EACH STATEMENT EXECUTE FUNCTION tell()",
        "ALTER TABLE users DISABLE TRIGGER off",
        "ALTER TABLE users ENABLE ALWAYS TRIGGER told",
        "COMMENT ON CONSTRAINT fk_user ON orders IS 'it''s ours'",
    ],
}


class Place:
    """A database, SQL on it, and a catalog."""

    def __init__(self, database, tmp_path: Path) -> None:
        self.database = database
        self.catalog = Catalog(LocalStorage(tmp_path / "backups"))
        self.folder = tmp_path

    def sql(self, *statements: str) -> list:
        if self.database.dialect == "sqlite":
            connection = sqlite3.connect(self.database.file)
        elif self.database.dialect == "mysql":
            url = self.database.url
            connection = pymysql.connect(
                host=url.host,
                port=url.port,
                user=url.username,
                password=url.password,
                database=url.database,
                init_command="SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
            )
        else:
            url = self.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
            connection = psycopg.connect(url)
        with closing(connection):
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            found = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
        return found

    def backup(self, *tables: str) -> Backup:
        return self.catalog.create(
            self.database,
            target="dev",
            version_tables=[VersionTable()],
            migration_version="head",
            tables=named_tables(self.database, tables),
        )

    def restore(self, backup: Backup, *tables: str) -> str:
        names = named_tables(self.database, tables)
        with self.database.scratch("tables_1", self.folder / "scratch") as copy:
            with self.catalog.reading(backup) as folder:
                copy.load(folder)
            return restore_tables(to_restore(backup), self.database, copy, backup, names)

    def name(self, table: str) -> str:
        return f"public.{table}" if self.database.dialect == "postgresql" else table


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def place(request, tmp_path) -> Place:
    if request.param == "sqlite":
        database = SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    elif request.param == "mysql":
        database = MySQL(request.getfixturevalue("mysql_url"))
    else:
        database = PostgreSQL(request.getfixturevalue("postgresql_url"))
    place = Place(database, tmp_path)
    place.sql(*SCHEMA, *TRIGGERS[request.param])
    return place


def test_a_partial_backup_has_the_rows_of_its_tables_alone(place):
    backup = place.backup("users")
    assert (backup.partial, backup.tables) == (True, (place.name("users"),))
    assert list(backup.row_counts) == [place.name("users")]
    assert backup.heads == (("r1",),)
    with (
        place.database.scratch("partial_1", place.folder / "scratch") as copy,
        place.catalog.reading(backup) as folder,
    ):
        copy.load(folder)
        counts = {name.rpartition(".")[2]: count.rows for name, count in copy.counts(exact=True).items()}
        assert (counts.pop("users"), counts.pop("alembic_version")) == (2, 1)
        assert set(counts.values()) == {0}
        if place.database.dialect == "sqlite":
            assert b"x\ty" not in copy.file.read_bytes(), "rows of other tables are not in the file"


@pytest.mark.parametrize("tables", [("users",), ()])
def test_rows_come_back_and_nothing_else_changes(place, tables):
    backup = place.backup(*tables)
    schema = place.database.schema()
    place.sql(
        "UPDATE users SET name = 'changed'",
        "INSERT INTO users (id, name) VALUES (3, 'new')",
        "INSERT INTO orders VALUES (30, 1)",
        "DELETE FROM log",
    )
    words = place.restore(backup, "users")
    assert "2 rows" in words
    assert place.sql("SELECT id, name, shout FROM users ORDER BY id") == [
        (1, "ann", "ANN"),
        (2, "bob", "BOB"),
    ]
    assert place.sql("SELECT id, user_id FROM orders ORDER BY id") == [(10, 1), (20, 2), (30, 1)]
    assert place.sql("SELECT * FROM log") == [], "no trigger fired"
    assert place.database.schema() == schema
    mysql = place.database.dialect == "mysql"
    place.sql(f"{'UPDATE users SET name = NULL' if mysql else 'DELETE FROM users'} WHERE id = 2")
    assert place.sql("SELECT count(*) FROM log") == [(1,)], "triggers fire again"


def test_several_tables_with_odd_names(place):
    backup = place.backup("users", "orders", *[t for t in place.database.counts() if "od" in t and "me" in t])
    odd = next(t for t in backup.tables if "od" in t and "me" in t)
    before = place.sql('SELECT "a,b" FROM "od""d näme" ORDER BY 1')
    place.sql("DELETE FROM orders", "DELETE FROM users", 'DELETE FROM "od""d näme"')
    place.restore(backup, "orders", "users", odd)
    assert place.sql('SELECT "a,b" FROM "od""d näme" ORDER BY 1') == before
    assert len(before) == 3
    assert place.sql("SELECT id, user_id FROM orders ORDER BY id") == [(10, 1), (20, 2)]


def test_a_broken_foreign_key_is_refused_and_nothing_changes(place):
    backup = place.backup("users")
    place.sql("INSERT INTO users (id, name) VALUES (3, 'new')", "INSERT INTO orders VALUES (30, 3)")
    place.sql("UPDATE users SET name = 'changed' WHERE id = 1")
    schema, log = place.database.schema(), place.sql("SELECT count(*) FROM log")
    with pytest.raises(RefusedError, match="refer to others that are not there"):
        place.restore(backup, "users")
    assert place.sql("SELECT name FROM users ORDER BY id") == [("changed",), ("bob",), ("new",)]
    assert (place.database.schema(), place.sql("SELECT count(*) FROM log")) == (schema, log)


def test_another_schema_is_refused(place):
    backup = place.backup("users")
    place.sql("ALTER TABLE users ADD COLUMN email TEXT")
    with pytest.raises(RefusedError, match=r"another schema now .*: column .*users\.email"):
        place.restore(backup, "users")
    with pytest.raises(RefusedError, match="does not have"):
        place.restore(backup, "orders")
    assert place.sql("SELECT count(*) FROM users") == [(2,)]


def test_a_partial_backup_is_never_restored_whole_or_pruned(place):
    whole = [place.backup() for _ in range(2)]
    partial = place.backup("users")
    with pytest.raises(RefusedError, match=r"alone: .*users"):
        restored(place.database, partial, place.catalog)
    assert prune(place.catalog, 1, owner_of_all(place.catalog), dry=True) == [], "retries of one migration"
    place.sql("UPDATE alembic_version SET version_num = 'r2'")
    newer = place.backup()
    assert prune(place.catalog, 1, owner_of_all(place.catalog), dry=False) == whole
    assert [b.backup_id for b in place.catalog.list()] == [partial.backup_id, newer.backup_id]


def test_tables_are_named_with_or_without_their_schema(place):
    assert named_tables(place.database, ["users", place.name("users")]) == [place.name("users")]
    with pytest.raises(UsageError, match="--table userz") as refused:
        named_tables(place.database, ["userz"])
    assert "users" in refused.value.hint
    if place.database.dialect == "postgresql":
        place.sql("CREATE SCHEMA two", "CREATE TABLE two.users (id int)")
        with pytest.raises(UsageError, match="there are several"):
            named_tables(place.database, ["users"])


def test_an_engine_that_can_not_says_so(tmp_path):
    class Other(SQLite):
        dialect = "other"
        capabilities = SQLite.capabilities.__class__(
            transactional_ddl=False, lock_is_file=False, scratch_on_server=True, remote=True
        )

    with pytest.raises(RefusedError, match="Single tables of other"):
        takes_tables(Other(URL.create("sqlite", database=str(tmp_path / "x.db"))))


def test_an_owner_without_superuser_can_restore(postgresql_url, tmp_path):
    """Foreign keys are not switched off, which only a superuser may."""
    place = Place(PostgreSQL(postgresql_url), tmp_path)
    role = f"{postgresql_url.database}_owner"
    place.sql(
        f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'x'",
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"SET ROLE {role}",
        *SCHEMA,
        "RESET ROLE",
    )
    try:
        place.database = PostgreSQL(postgresql_url.set(username=role, password="x"))
        backup = place.backup("users")
        place.sql("UPDATE users SET name = 'changed'")
        place.restore(backup, "users")
        assert place.sql("SELECT name FROM users ORDER BY id") == [("ann",), ("bob",)]
        superuser = Place(PostgreSQL(postgresql_url), tmp_path)
        superuser.sql("ALTER TABLE orders OWNER TO CURRENT_USER")
        with pytest.raises(DatabaseError, match="permission denied for table orders"):
            place.restore(backup, "users")
    finally:
        place = Place(PostgreSQL(postgresql_url), tmp_path)
        place.sql(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


@pytest.fixture
def mysql_place(mysql_url, tmp_path) -> Place:
    place = Place(MySQL(mysql_url), tmp_path)
    place.sql(*SCHEMA)
    return place


def test_mysql_refuses_what_would_not_roll_back(mysql_place):
    """A trigger can't be switched off, a table without transactions not be changed at once."""
    backup = mysql_place.backup("users", "log")
    mysql_place.sql(
        "CREATE TRIGGER told BEFORE DELETE ON users FOR EACH ROW INSERT INTO log VALUES (OLD.name)",
        "UPDATE users SET name = 'changed'",
        "INSERT INTO log VALUES ('kept')",
        "ALTER TABLE log ENGINE = MyISAM",
    )
    with pytest.raises(RefusedError, match="Table users has the trigger told"):
        mysql_place.restore(backup, "users")
    with pytest.raises(RefusedError, match=r"Table log \(MyISAM\) has no transactions"):
        takes_tables(mysql_place.database).take_tables(mysql_place.database, ["log"])
    assert mysql_place.sql("SELECT * FROM log") == [("kept",)]
    assert mysql_place.sql("SELECT DISTINCT name FROM users") == [("changed",)]


def test_mysql_looks_at_foreign_keys_of_other_databases_and_of_several_columns(mysql_place, mysql_url):
    mysql_place.sql(
        "CREATE TABLE parent (a INT, b INT, PRIMARY KEY (a, b))",
        "INSERT INTO parent VALUES (1, 1), (1, 2)",
        "CREATE TABLE child (a INT, b INT, FOREIGN KEY (a, b) REFERENCES parent (a, b))",
        "INSERT INTO child VALUES (1, 2), (1, NULL), (NULL, 7)",
    )
    backup = mysql_place.backup("parent", "child")
    mysql_place.restore(backup, "child", "parent")
    assert len(mysql_place.sql("SELECT * FROM child")) == 3, "NULL refers to nothing"
    elsewhere = f"{mysql_url.database}_two"
    mysql_place.sql(
        "INSERT INTO parent VALUES (2, 2)",
        f"CREATE DATABASE {elsewhere}",
        f"CREATE TABLE {elsewhere}.child (a INT, b INT,"
        f" FOREIGN KEY (a, b) REFERENCES {mysql_url.database}.parent (a, b))",
        f"INSERT INTO {elsewhere}.child VALUES (2, 2), (1, 1)",
    )
    try:
        with pytest.raises(RefusedError, match="1 rows would refer to others"):
            mysql_place.restore(backup, "parent")
        assert mysql_place.sql("SELECT count(*) FROM parent") == [(3,)]
    finally:
        mysql_place.sql(f"DROP DATABASE {elsewhere}")


def test_mysql_waits_for_whoever_changes_a_row_that_is_referred_to(mysql_place, mysql_url):
    """Foreign keys are not enforced meanwhile: somebody may be about to delete what these rows refer to."""
    backup = mysql_place.backup("orders")
    mysql_place.sql("DELETE FROM orders WHERE id = 20")
    mysql_place.database = MySQL(mysql_url, lock_timeout=1)
    with mysql_place.database.engine().connect() as other:
        other.exec_driver_sql("DELETE FROM users WHERE id = 2")
        with pytest.raises(DatabaseError, match="1205"):
            mysql_place.restore(backup, "orders")
        other.rollback()
    assert mysql_place.sql("SELECT id FROM orders") == [(10,)]
    mysql_place.restore(backup, "orders")
    assert mysql_place.sql("SELECT id FROM orders ORDER BY id") == [(10,), (20,)]


def test_mysql_takes_rows_from_a_copy_on_its_own_server_alone(mysql_place, start_mariadb):
    with start_mariadb() as server, pytest.raises(RefusedError, match="on the target's own server"):
        takes_tables(mysql_place.database).take_tables(MySQL(server.admin_url), ["users"])


# ------------------------------------------------------------------ by the command line


def test_by_the_command_line(alembic_project):
    assert alembic_project.run("run").code == 0
    alembic_project.sql("insert into users (name) values ('ann')")
    tables = [row[0] for row in alembic_project.sql("select name from sqlite_master where type = 'table'")]
    assert "users" in tables
    done = alembic_project.run("backup", "create", "--table", "users")
    assert done.code == 0, done.text
    name = done.out.split()[0]
    shown = json.loads(alembic_project.run("backup", "show", name).out)
    assert (shown["partial"], shown["tables"], shown["description"]) == (True, ["users"], "rows of users")
    assert alembic_project.run("backup", "verify", name, "--restore").code == 0
    alembic_project.sql("delete from users")
    done = alembic_project.run("backup", "restore", name, "--yes")
    assert (done.code, "--table users" in done.text) == (1, True), done.text
    done = alembic_project.run("backup", "restore", name, "--table", "alembic_version", "--yes")
    assert (done.code, "Alembic's own" in done.text) == (1, True), done.text
    done = alembic_project.run("backup", "restore", name, "--table", "users")
    assert (done.code, "users: 0 rows now, 1 row in the backup" in done.text) == (1, True), done.text
    assert alembic_project.sql("select count(*) from users") == [(0,)]
    done = alembic_project.run("backup", "restore", name, "--table", "users", "--yes")
    assert (done.code, "also in backup_" in done.text) == (0, True), done.text
    assert alembic_project.sql("select name from users") == [("ann",)]


def test_production_needs_an_approval(alembic_project):
    assert alembic_project.run("run").code == 0
    name = alembic_project.run("backup", "create", "--table", "users").out.split()[0]
    alembic_project.settings('[targets.production]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("backup", "restore", name, "--table", "users", "--yes")
    assert (done.code, "needs an approval" in done.text) == (4, True), done.text

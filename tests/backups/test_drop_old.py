"""What restores keep, and how it goes."""

import sqlite3
from contextlib import closing

import psycopg
import pytest
from permits import restored

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import DatabaseError
from ci_migrate.model import VersionTable


def test_sqlite_by_the_command_line(alembic_project):
    assert alembic_project.run("run").code == 0
    name = alembic_project.run("backup", "create").out.split()[0]
    done = alembic_project.run("backup", "restore", "--drop-old")
    assert (done.code, "kept anything" in done.out) == (0, True), done.text
    assert alembic_project.run("backup", "restore", name, "--yes", "--no-safety-backup").code == 0
    (kept,) = alembic_project.folder.glob("app.db.before_*")
    mine = alembic_project.folder / "app.db.before_lunch"
    mine.write_text("mine")
    done = alembic_project.run("backup", "restore", "--drop-old")
    assert (done.code, f"Would drop (add --yes): {kept.name}" in done.out) == (0, True), done.text
    assert kept.exists()
    done = alembic_project.run("backup", "restore", "--drop-old", "--yes")
    assert (done.code, f"Dropped: {kept.name}" in done.out) == (0, True), done.text
    assert not kept.exists()
    assert mine.exists()
    with closing(sqlite3.connect(alembic_project.database)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    for wrong in ((), (name, "--drop-old"), ("--drop-old", "--table", "users")):
        assert alembic_project.run("backup", "restore", *wrong).code == 2


def test_postgresql(postgresql_url, tmp_path):
    database = PostgreSQL(postgresql_url)
    catalog = Catalog(LocalStorage(tmp_path / "backups"))
    backup = catalog.create(database, target="dev", version_tables=[VersionTable()], migration_version="head")
    assert database.replaced() == []
    words = restored(database, backup, catalog)
    (kept,) = database.replaced()
    assert kept in words
    assert "--drop-old" in words
    url = postgresql_url.set(drivername="postgresql", database=kept).render_as_string(hide_password=False)
    with psycopg.connect(url), pytest.raises(DatabaseError, match="being accessed by other users"):
        database.drop_replaced(kept)
    with pytest.raises(DatabaseError, match="No restore of"):
        database.drop_replaced("postgres")
    database.drop_replaced(kept)
    assert database.replaced() == []
    database.ping()


def test_mysql_keeps_what_a_restore_replaced_until_it_is_dropped(mysql_url, tmp_path) -> None:
    database = MySQL(mysql_url)
    database.dump(tmp_path, [])
    assert database.replaced() == []
    words = database.replace(tmp_path, lambda _copy: None, "20261122_101500")
    assert "--drop-old" in words
    (kept,) = database.replaced()
    with pytest.raises(DatabaseError, match="kept a database mysql"):
        database.drop_replaced("mysql")
    database.drop_replaced(kept)
    assert database.replaced() == []

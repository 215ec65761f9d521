"""SQLite: whatever odd thing lives in a database, it comes back out of its backup. Compared by other means than ours."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic_project import ENV, AlembicProject, new_project
from sqlalchemy import URL
from sqlite_zoo import KINDS, know_functions, make_zoo, read_all

from ci_migrate.databases.compression import chunks
from ci_migrate.databases.sqlite.database import PAYLOAD, SQLite
from ci_migrate.errors import RefusedError
from ci_migrate.model import VersionTable

REGISTERS = """
import sys
sys.path.insert(0, {folder!r})
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlite_zoo import know_functions

@event.listens_for(Engine, "connect")
def register(connection, record):
    know_functions(connection)


def run_migrations_online"""


def at(path: Path) -> SQLite:
    return SQLite(URL.create("sqlite", database=str(path)))


def ask(path: Path, sql: str, *values: object) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        know_functions(connection)
        with connection:
            return connection.execute(sql, values).fetchall()


def dumped(path: Path, into: Path, *tables: str) -> Path:
    into.mkdir()
    database = at(path)
    if tables:
        database.dump_tables(into, [VersionTable()], tables)
    else:
        database.dump(into, [VersionTable()])
    return into


@pytest.mark.parametrize("kind", KINDS)
def test_F55_everything_comes_back(tmp_path: Path, kind: str) -> None:
    make_zoo(tmp_path / "app.db", kind)
    before = read_all(tmp_path / "app.db")
    payload = dumped(tmp_path / "app.db", tmp_path / "dump")
    for place in ("new.db", "app.db"):  # where nothing is, and over what is there
        target = at(tmp_path / place)
        if place == "app.db":
            ask(tmp_path / place, "DELETE FROM articles")
            target.replace(payload, lambda _database: None, "label")
        else:
            target.load(payload)
        assert read_all(tmp_path / place) == before


@pytest.mark.parametrize("kind", ["all", "utf16"])
def test_F53_F55_counts_and_contents(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "app.db"
    make_zoo(path, kind)
    database = at(path)
    contents = database.contents(database.counts())
    tables = [name for name in database.counts() if name in contents]
    for table in tables:
        quoted = table.replace('"', '""')
        assert database.counts()[table].rows == ask(path, f'SELECT count(*) FROM "{quoted}"')[0][0], table
    assert "pages" in tables or kind == "utf16"
    assert set(database.counts()) - set(tables) >= {"notes", "articles_fts", "places"}
    if kind == "all":
        assert "path" not in contents["pages"].columns  # computed by the application
        assert "stored" in contents["pages"].columns
        ask(path, "UPDATE pages SET title = 'zebra ' WHERE title = 'zebra'")
        ask(path, "UPDATE latin SET name = CAST(x'4dfd6c6c6572' AS TEXT) WHERE id = 1")
        changed = database.contents(database.counts())
        assert {t for t in changed if changed[t] != contents[t]} == {"pages", "latin"}


@pytest.mark.parametrize("kind", ["plain", "all"])
def test_F55_a_backup_of_tables(tmp_path: Path, kind: str) -> None:
    """Has the rows of those, of nothing else, and is whole."""
    path = tmp_path / "app.db"
    make_zoo(path, kind)
    before = read_all(path)
    payload = dumped(path, tmp_path / "dump", "articles", "counted", "order")
    raw = b"".join(chunks(payload / PAYLOAD))
    assert b"apples and pears" in raw
    for gone in (
        b"dogs run",
        b"only the index",
        b"there you are",
        b"outside'",
        b"birnen",
        b"no such twin",
        b"home",
    ):
        assert gone not in raw.lower().replace(b"mail_content_of_users", b"")
    (tmp_path / "copy.db").write_bytes(raw)
    copy = read_all(tmp_path / "copy.db")
    assert copy["schema"] == before["schema"]
    assert copy["integrity"] == [(b"ok",)]
    assert copy["rows of articles"] == before["rows of articles"]
    assert copy["rows of parents"] == []


@pytest.mark.parametrize("tables", [(), ("articles", "order", "parents", "children", "composed", "computed")])
def test_F55_tables_are_put_back(tmp_path: Path, tables: tuple[str, ...]) -> None:
    """An index for full text search follows the rows that it is of; other tables stay as they are."""
    path = tmp_path / "app.db"
    make_zoo(path, "all")
    before = read_all(path)
    payload = dumped(path, tmp_path / "dump", *tables)
    source = at(tmp_path / "source.db")
    source.load(payload)
    ask(path, "DELETE FROM articles")
    ask(path, "INSERT INTO articles (title, body) VALUES ('other', 'cherries')")
    for table in ("children", "parents", "composed", "computed", '"order"'):
        ask(path, f"DELETE FROM {table}")
    ask(path, "INSERT INTO log (what) VALUES ('since then')")
    at(path).take_tables(source, ["articles", "order", "parents", "children", "composed", "computed"])
    after = read_all(path)
    index = {name for name in before if name.startswith("rows of articles_fts")}
    different = {name for name in before if before[name] != after[name]}
    assert different - index == {"rows of log"}
    found = [
        ask(path, "SELECT rowid FROM articles_fts WHERE articles_fts MATCH ?", word)
        for word in ("plums", "cherries")
    ]
    assert found == [[(2,)], []]
    ask(path, "INSERT INTO articles_fts (articles_fts) VALUES ('integrity-check')")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("pages", "collation german"),
        ("sorted", "collation german"),
        ("called", "function slug()"),
        ("vectors_rowids", "module vec0 is not loaded"),
        ("notes", "virtual table"),
    ],
)
def test_F55_what_only_the_application_can_write_is_refused(tmp_path: Path, table: str, words: str) -> None:
    path = tmp_path / "app.db"
    make_zoo(path, "all")
    ask(path, "CREATE TABLE called (name TEXT)")
    ask(path, "INSERT INTO called VALUES ('A b')")
    ask(path, "CREATE INDEX called_slug ON called (slug(name))")
    before = read_all(path)
    source = at(tmp_path / "source.db")
    source.load(dumped(path, tmp_path / "dump"))
    with pytest.raises(RefusedError) as refused:
        at(path).take_tables(source, [table])
    assert words in refused.value.what
    assert "whole backup" in refused.value.hint
    assert read_all(path) == before


@pytest.fixture
def project(tmp_path: Path) -> AlembicProject:
    zoo = str(Path(__file__).parents[2] / "zoo")
    registers = REGISTERS.format(folder=zoo)
    project = new_project(tmp_path, env=ENV.replace("\ndef run_migrations_online", registers, 1))
    make_zoo(project.database, "all")
    return project


def test_F53_F55_through_the_gate(project: AlembicProject) -> None:
    """Two revisions run, one fails half-way and is undone, the backup is restored."""
    before = read_all(project.database)
    done = project.call("run")
    assert done.code == 0, done.text
    after = read_all(project.database)
    assert {name for name in before if before[name] != after[name]} == {"schema"}
    project.revision(
        "r3",
        "r2",
        """
        op.execute("update pages set title = 'changed' where id = 1")
        op.execute("COMMIT")
        op.execute("create table half (id integer)")
        assert os.environ["CI_MIGRATE_STAGE"] != "migrate"
        """,
        extra="import os",
    )
    project.settings('restore = "auto"\n')
    done = project.call("run")
    assert done.code == 6, done.text
    again = read_all(project.database)
    assert again == after
    backup = done.stage("backup")["backup"]["backupId"]
    project.sql("delete from articles")
    done = project.call("backup", "restore", backup, "--yes")
    assert done.code == 0, done.text
    assert read_all(project.database) == after

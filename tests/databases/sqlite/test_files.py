"""Which file a URL names: the one that SQLAlchemy and SQLite open by it, whatever it is called."""

import os
import sqlite3
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError

from ci_migrate.databases.sqlite.files import file_of, open_file
from ci_migrate.errors import UsageError

NAMES = st.text("ab .-%#?&=+/:;\t\n'üé", min_size=1, max_size=8).filter(lambda name: "//" not in name)
QUERIES = st.sampled_from(
    ["", "&mode=rwc", "&cache=shared", "&xmode=memory", "&mode=memoryx&mode=rwc", "&timeout=5"]
)


def opened(url) -> str:
    """The file that a session of SQLAlchemy's has open."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA database_list").fetchone()[2]
    finally:
        engine.dispose()


@given(name=NAMES, query=QUERIES)
@example("a\tb.db", "")
@example("a\nb.db", "")
@settings(max_examples=40)
def test_a_uri_names_the_file_that_sqlite_opens(tmp_path_factory, name, query):
    """A backup of another file than that which is migrated would be worse than none."""
    folder = tmp_path_factory.mktemp("files")
    url = make_url(f"sqlite:///?uri=true{query}").set(database=f"file:{folder}/{quote(name, safe='/')}")
    try:
        file = opened(url)
    except OperationalError:
        return
    assert str(file_of(url)) == os.path.realpath(file)


@given(name=NAMES)
@settings(max_examples=40)
def test_a_path_is_a_path(tmp_path_factory, name):
    url = make_url("sqlite://").set(database=f"{tmp_path_factory.mktemp('files')}/{name}")
    try:
        file = opened(url)
    except OperationalError:
        return
    assert str(file_of(url)) == os.path.realpath(file)


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "sqlite:///file::memory:?uri=true",
     "sqlite:///file:x?%6dode=memory&uri=true", "sqlite:///file:?uri=true"],
)  # fmt: skip
def test_what_is_in_memory_is_no_target(url):
    with pytest.raises(UsageError, match="in memory"):
        file_of(make_url(url))


def test_another_engine_or_an_encrypted_file_is_told():
    for url in ("postgresql://h/d", "sqlite+pysqlcipher:///x"):
        with pytest.raises(UsageError, match="plain SQLite file"):
            file_of(make_url(url))


def test_reading_makes_no_file_and_nothing_beside_one(tmp_path):
    missing = open_file(tmp_path / "none.db", read_only=True, timeout=1)
    assert missing.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    missing.close()
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "a?b#c%41.db"
    writer = open_file(file, read_only=False, timeout=1)
    writer.execute("CREATE TABLE t (a)")
    writer.close()
    reader = open_file(file, read_only=True, timeout=1)
    assert reader.execute("SELECT name FROM sqlite_master").fetchall() == [("t",)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO t VALUES (1)")
    reader.close()
    assert [path.name for path in tmp_path.iterdir()] == [file.name]

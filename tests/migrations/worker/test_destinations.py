"""What arguments of a connect mean: held against what libpq and SQLite themselves make of them.

`tests/migrations/test_wall.py` shows the wall as a whole.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from ci_migrate.migrations.worker import destinations
from ci_migrate.migrations.worker.destinations import (
    mysql_defaults,
    parse_dsn,
    postgresql_defaults,
    replace_mysql,
    same_file,
    same_mysql,
    same_server,
    sqlite_file,
)

# --------------------------------------------------------------------------- libpq


@pytest.mark.parametrize(
    ("dsn", "parts"),
    [
        ("host=h port=1 dbname=d", {"host": "h", "port": "1", "dbname": "d"}),
        (r"host = 'a b' password='it\'s \\'", {"host": "a b", "password": "it's \\"}),
        ("postgres://u:p%40@h:5/d?sslmode=require", {"host": "h", "port": "5", "dbname": "d", "user": "u", "password": "p@", "sslmode": "require"}),
        ("postgresql://u@h1:1,h2/d", {"host": "h1,h2", "port": "1,", "dbname": "d", "user": "u"}),
        ("postgresql://%2Frun%2Fpg/d", {"host": "/run/pg", "dbname": "d"}),
        ("postgresql://[::1]:5/d", {"host": "::1", "port": "5", "dbname": "d"}),
        ("postgresql:///d?host=h&port=5", {"host": "h", "port": "5", "dbname": "d"}),
        ("", {}),
    ],
)  # fmt: skip
def test_connection_strings(dsn, parts):
    assert parse_dsn(dsn) == parts
    assert {key: str(value) for key, value in conninfo_to_dict(dsn).items()} == parts, "as libpq has it"


VALUES = st.text("ab1_.-/=' \\\"%@:ü", max_size=6)


def quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@given(
    parts=st.dictionaries(st.sampled_from(["host", "port", "dbname", "user", "password"]), VALUES, max_size=4)
)
@settings(max_examples=60)
def test_a_quoted_connection_string_is_read_as_libpq_reads_it(parts):
    dsn = " ".join(f"{key} = {quoted(value)}" for key, value in parts.items())
    if "://" not in dsn:
        assert parse_dsn(dsn) == parts == conninfo_to_dict(dsn)


@given(
    user=VALUES, password=VALUES, host=st.text("ab1.-", max_size=4), port=st.sampled_from(["", "1", "5432"]),
    database=VALUES, query=st.dictionaries(st.sampled_from(["host", "port", "dbname", "sslmode"]), st.text("ab1", min_size=1, max_size=3)),
)  # fmt: skip
@settings(max_examples=60)
def test_a_url_is_read_as_libpq_reads_it(user, password, host, port, database, query):
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    place = f"{host}:{port}" if port else host
    more = "&".join(f"{key}={value}" for key, value in query.items())
    url = f"postgresql://{login}{place}/{quote(database, safe='')}" + (f"?{more}" if more else "")
    try:
        libpq = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return  # which connects nowhere
    assert parse_dsn(url) == {key: str(value) for key, value in libpq.items() if value != ""}


@pytest.mark.parametrize("dsn", [r"password=a\ b host=h", r"host=h\\x", r"user=it\'s host=h"])
def test_a_value_without_quotes_may_hold_what_is_escaped(dsn):
    assert parse_dsn(dsn) == conninfo_to_dict(dsn)


def test_what_is_not_named_is_what_libpq_takes(monkeypatch):
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("USER", "os")
    assert postgresql_defaults({}) == {
        "host": "",
        "port": "5432",
        "database": "os",
        "user": "os",
        "password": "",
    }
    assert postgresql_defaults({"user": "u"})["database"] == "u", "the database is called as its user"
    monkeypatch.setenv("PGHOST", "h")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGUSER", "v")
    assert postgresql_defaults({}) == {"host": "h", "port": "1", "database": "v", "user": "v", "password": ""}
    monkeypatch.setenv("PGDATABASE", "d")
    assert postgresql_defaults({"host": ["a", "b"], "port": [1, 2], "user": "w"}) == {
        "host": "a,b", "port": "1,2", "database": "d", "user": "w", "password": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"host": "127.0.0.1", "port": "5432", "database": "d"}, True),
        ({"host": "/run/pg", "database": "d"}, True),
        ({"database": "d"}, True),
        ({"host": "localhost", "port": 5432, "database": "d"}, True),
        ({"host": "localhost", "port": 5433, "database": "d"}, False),
        ({"host": "localhost", "database": "D"}, False),
        ({"host": "db", "database": "d"}, False),
        ({"host": "localhost,db", "database": "d"}, False),
    ],
)
def test_in_doubt_two_servers_are_not_the_same(other, same):
    assert same_server({"host": "localhost", "port": 5432, "database": "d"}, other) is same
    assert same_server(other, {"host": "localhost", "port": 5432, "database": "d"}) is same


# --------------------------------------------------------------------------- SQLite


NAMES = st.text("ab .-%#?&=+/:;\t\n'üé", min_size=1, max_size=8).filter(lambda name: "//" not in name)
ENDS = st.sampled_from(
    [
        "",
        "?",
        "?mode=rwc",
        "?cache=shared",
        "?xmode=memory",
        "?mode=memoryx&mode=rwc",
        "#part",
        "?a=b#mode=memory",
    ]
)


def opened(folder, database: str) -> str:
    """The file that SQLite opens; "" for none."""
    with contextlib.chdir(folder), contextlib.closing(sqlite3.connect(database, uri=True)) as connection:
        return connection.execute("PRAGMA database_list").fetchone()[2]


@given(name=NAMES, end=ENDS)
@example("a\tb.db", "")
@example("a\nb.db", "")
@example("é", "?xmode=memory")
@settings(max_examples=80)
def test_a_uri_names_the_file_that_sqlite_opens(tmp_path_factory, name, end):
    """One that is taken for another file, or for memory, is not led to the copy: the dry run would write the target."""
    folder = tmp_path_factory.mktemp("files")
    for spelled in (quote(name, safe="/"), name.translate({ord(c): quote(c) for c in "%#?"})):
        uri = f"file:{folder}/{spelled}{end}"
        try:
            file = opened(folder, uri)
        except sqlite3.OperationalError:
            continue  # it opens nothing: `..` of a folder that is not there, an unknown mode
        assert sqlite_file(uri, uri=True) == os.path.realpath(file), uri


@pytest.mark.parametrize(
    "database",
    ["", ":memory:", "file::memory:", "file:", "file:?mode=memory", "file:x?mode=memory", "file:x?cache=shared&mode=memory",
     "file:x?%6dode=memory", "file::memory:?cache=shared"],
)  # fmt: skip
def test_what_is_in_memory_is_no_file(tmp_path, database):
    assert opened(tmp_path, database) == ""
    assert sqlite_file(database, uri=True) == ""


def test_of_two_modes_the_last_counts(tmp_path):
    for uri in ("file:x?mode=memory&mode=rwc", "file:x?mode=rwc&mode=memory"):
        file = opened(tmp_path, uri)
        found = sqlite_file(uri, uri=True)
        assert Path(found).name == Path(file).name, uri


def test_without_uri_a_file_may_be_called_like_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sqlite_file("file:x?mode=memory") == os.path.realpath("file:x?mode=memory")
    assert sqlite_file(b"a.db") == sqlite_file("a.db") == str(tmp_path / "a.db")
    assert sqlite_file(tmp_path / "b.db") == str(tmp_path / "b.db")


def test_names_that_are_no_utf_8_are_kept(tmp_path):
    (tmp_path / os.fsdecode(b"\xe9.db")).touch()
    assert Path(sqlite_file(f"file:{tmp_path}/%e9.db", uri=True)).exists()


def test_a_file_is_the_same_by_each_of_its_names(tmp_path):
    (tmp_path / "app.db").touch()
    (tmp_path / "link.db").symlink_to("app.db")
    os.link(tmp_path / "app.db", tmp_path / "hard.db")
    for name in ("app.db", "link.db", "hard.db", "./app.db"):
        assert same_file(str(tmp_path / name), str(tmp_path / "app.db")), name
    assert not same_file(str(tmp_path / "other.db"), str(tmp_path / "app.db"))
    assert same_file(str(tmp_path / "not-yet.db"), str(tmp_path / "not-yet.db"))
    for nothing in ("", None):
        assert not same_file(nothing, nothing)


# --------------------------------------------------------------------------- MySQL and MariaDB


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"host": "localhost"}, {"host": "127.0.0.1", "port": 3306}, True),
        ({"host": "localhost"}, {"host": "localhost", "port": 3307}, False),
        ({"host": "db"}, {"host": "db"}, True),
        ({"host": "db"}, {"host": "db2"}, False),
        ({"unix_socket": "/run/s"}, {"host": "localhost"}, True),
        ({"unix_socket": "/run/s"}, {"host": "db"}, False),
        ({"unix_socket": "/run/s"}, {"unix_socket": "/run/./s"}, True),
        ({"unix_socket": "/run/s"}, {"unix_socket": "/run/t"}, False),
    ],
)
def test_the_same_database_of_mysql_by_address_or_socket(one, other, same):
    assert same_mysql({**one, "database": "d"}, {**other, "database": "d"}) is same
    assert same_mysql({**other, "database": "d"}, {**one, "database": "d"}) is same
    assert not same_mysql({**one, "database": "d"}, {**other, "database": "e"})


def test_a_driver_of_mysql_may_give_bytes_and_leave_things_out():
    assert mysql_defaults({"user": b"gr\xc3\xb6\xc3\x9fe", "database": None}) == {
        "host": "localhost", "port": "3306", "user": "größe", "password": "", "database": "", "unix_socket": "",
    }  # fmt: skip


def test_a_connect_is_led_to_the_copy_and_keeps_nothing_of_the_login_that_it_had():
    arguments = {
        "host": "db",
        "port": 3306,
        "user": "app",
        "password": "s3cret",
        "unix_socket": "/run/s",
        "charset": "x",
    }
    replace_mysql(arguments, {"host": "scratch", "port": "3307", "user": "ci", "database": "copy"})
    assert arguments == {"host": "scratch", "port": 3307, "user": "ci", "database": "copy", "charset": "x"}
    replace_mysql(arguments, {"unix_socket": "/run/t", "password": "p"})
    assert (arguments["unix_socket"], arguments["password"]) == ("/run/t", "p")
    assert destinations.text_of(bytearray(b"x")) == "x"

"""Databases of other encodings than UTF-8."""

import os

import pytest
from postgresql_support import execute

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.model import VersionTable


@pytest.fixture
def encoded(postgresql_server):
    """`encoded("LATIN1")`: the URL of a fresh database of this encoding."""
    names = []

    def create(encoding):
        names.append(f"enc_{os.urandom(4).hex()}")
        execute(
            postgresql_server.admin_url,
            f"CREATE DATABASE {names[-1]} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        return postgresql_server.url(names[-1])

    yield create
    for name in names:
        execute(postgresql_server.admin_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    ("encoding", "written_as"),
    [
        ("SQL_ASCII", "UTF8"),
        ("SQL_ASCII", "LATIN1"),
        ("LATIN1", "LATIN1"),
        ("EUC_JP", "UTF8"),
        ("WIN1251", "UTF8"),
    ],
)
def test_F53_any_encoding_is_read_copied_and_restored(encoded, payload, tmp_path, encoding, written_as):
    """SQL_ASCII is no encoding: the server hands over what bytes there are, and they need be no UTF-8."""
    url = encoded(encoding)
    word = {
        "LATIN1": "Stra\u00dfe",
        "EUC_JP": "\u65e5\u672c",
        "WIN1251": "\u0441\u043b\u043e\u0432\u043e",
    }.get(encoding, "Stra\u00dfe")
    execute(
        url,
        f'CREATE TABLE "{word}" (id int PRIMARY KEY, "{word}" text DEFAULT \'{word}\')',
        f"COMMENT ON TABLE \"{word}\" IS 'a {word}'",
        f"INSERT INTO \"{word}\" VALUES (1, '{word}'), (2, 'ascii')",
        "CREATE TABLE alembic_version (version_num text)",
        "INSERT INTO alembic_version VALUES ('0001')",
        client_encoding=written_as,
    )
    database = PostgreSQL(url)
    dumped = database.dump(payload, [VersionTable()])
    assert dumped.heads == (("0001",),)
    assert all(isinstance(text, str) for pair in dumped.schema.items() for text in pair)
    tables = list(dumped.row_counts)
    assert sorted(count.rows for count in dumped.row_counts.values()) == [1, 2]
    with database.scratch(f"f53{os.urandom(3).hex()}", tmp_path) as copy:
        copy.load(payload)
        assert copy.schema() == dumped.schema
        assert copy.contents(tables) == database.contents(tables)
        copy.take_tables(database, tables)
        assert copy.contents(tables) == database.contents(tables)

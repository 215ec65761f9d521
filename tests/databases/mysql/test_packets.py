"""Values of one column as they come from the connection, on MariaDB and on MySQL."""

from contextlib import closing

import pymysql
import pytest
from mysql_support import execute

from ci_migrate.databases.mysql import packets
from ci_migrate.databases.mysql.packets import read_values

EDGES = (
    0,
    1,
    250,
    251,
    252,
    65_535,
    65_536,
    131_072,
    16_777_205,
    16_777_206,
    16_777_207,
    16_777_211,
    16_777_215,
)
"""Lengths around those where a value's length, or a packet, is written in another way."""


@pytest.fixture
def connection(either):
    (before,) = execute(either, "SELECT @@global.max_allowed_packet")[0]
    execute(either, f"SET GLOBAL max_allowed_packet = {1 << 26}")
    with closing(either.connect()) as connection:
        yield connection
    execute(either, f"SET GLOBAL max_allowed_packet = {before}")


def open_query(connection, query):
    cursor = pymysql.cursors.SSCursor(connection)
    cursor.execute(query)
    return cursor


def read(connection, query):
    cursor = open_query(connection, query)
    found = list(read_values(cursor))
    assert cursor.warning_count is not None
    assert all(size >= sum(map(len, values)) for values, size in found)
    return [value for values, _ in found for value in values]


@pytest.mark.parametrize("bytes_at_once", [1, 7, 1 << 17])
def test_each_value_comes_whole_however_the_bytes_come(connection, monkeypatch, bytes_at_once):
    monkeypatch.setattr(packets, "_READ", bytes_at_once)
    edges = EDGES if bytes_at_once > 7 else EDGES[:6]
    parts = [f"SELECT CAST(REPEAT('{letter}', {size}) AS BINARY)" for letter, size in zip("abcdefghijklm", edges, strict=False)]  # fmt: skip
    found = read(connection, " UNION ALL ".join([*parts, "SELECT NULL", "SELECT 'end'"]))
    assert found == [*(letter.encode() * size for letter, size in zip("abcdefghijklm", edges, strict=False)), b"", b"end"]  # fmt: skip
    assert read(connection, "SELECT 'next' WHERE 1 = 0") == []
    with connection.cursor() as cursor:  # PyMySQL goes on where it ended
        cursor.execute("SELECT 1, 2")
        assert cursor.fetchall() == ((1, 2),)


def test_more_packets_than_a_byte_counts(connection):
    ten = " UNION ALL ".join(["SELECT 1 AS n"] * 10)
    joined = ", ".join(f"({ten}) t{n}" for n in range(4))
    assert read(connection, f"SELECT 'row' FROM {joined}") == [b"row"] * 10_000


SLOW = "SELECT CAST(REPEAT('x', 50000) AS BINARY) FROM {many} WHERE SLEEP(0.01) = 0"


@pytest.mark.parametrize(("how", "number"), [("KILL QUERY", {1317}), ("KILL", {2013, 1927, 1053})])
def test_what_ends_in_the_middle_is_no_end(either, connection, how, number):
    ten = " UNION ALL ".join(["SELECT 1 AS n"] * 10)
    many = ", ".join(f"({ten}) t{n}" for n in range(3))
    reading = read_values(open_query(connection, SLOW.format(many=many)))
    next(reading)
    execute(either, f"{how} {connection.thread_id()}")
    with pytest.raises(pymysql.MySQLError) as raised:
        list(reading)
    assert raised.value.args[0] in number


def test_warnings_are_counted(connection):
    cursor = open_query(connection, "SELECT CAST('x' AS SIGNED) + 0 FROM (SELECT 1 UNION SELECT 2) t")
    assert [value for values, _ in read_values(cursor) for value in values] == [b"0", b"0"]
    assert cursor.warning_count > 0

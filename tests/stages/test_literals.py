"""Statements whose values are computed: another one each time, and the same statement all the same."""

import pytest
from env_zoo import PLAIN, SYNC, new_zoo

MYSQL = r"""
    import datetime, time, uuid
    new = lambda: str(uuid.uuid4())
    raw = op.get_bind().exec_driver_sql
    raw("CREATE TABLE odd (a BLOB, b INT)")
    raw(f'INSERT INTO odd VALUES ("{new()}", -{time.time_ns() % 1000})')
    raw(f"INSERT INTO odd VALUES (0x{uuid.uuid4().hex}, +{time.time_ns() % 1000})")
    raw(f"INSERT INTO odd VALUES ('it\\'s {new()}', .5)")
    raw(f"INSERT INTO odd VALUES ('a', 1) # {new()}")
    raw(f"/* {new()} */ INSERT INTO odd VALUES ('a', 1) -- {new()}")
    raw(f"UPDATE odd SET b = {time.time_ns() % 7 - 3} WHERE a = \"{new()}\"")
    raw("INSERT INTO odd VALUES " + ", ".join(f"('{new()}', {n})" for n in range(1000)))
    raw("CREATE TABLE last (id INT)")
"""
POSTGRESQL = r"""
    import time, uuid
    new = lambda: str(uuid.uuid4())
    raw = op.get_bind().exec_driver_sql
    raw("CREATE TABLE odd (a TEXT, b NUMERIC)")
    raw(f"INSERT INTO odd VALUES (E'it\\'s {new()}', -{time.time_ns() % 1000})")
    raw(f"INSERT INTO odd VALUES ($$it's {new()}$$, {time.time_ns() % 1000}) -- {new()}")
    raw(f"/* {new()} /* */ */ INSERT INTO odd VALUES ($x${new()}$x$, .5)")
    raw("INSERT INTO odd VALUES " + ", ".join(f"('{new()}', {n})" for n in range(1000)))
    raw("CREATE TABLE last (id INT)")
"""


@pytest.mark.parametrize(
    ("server", "revision"),
    [("mysql_url", MYSQL), ("mysql97_url", MYSQL), ("postgresql_url", POSTGRESQL)],
)
def test_F60_computed_literals_are_no_other_statement(request, tmp_path, server, revision):
    zoo = new_zoo(tmp_path, request.getfixturevalue(server), SYNC + PLAIN)
    zoo.revision("r3", "r2", revision)
    zoo.gate("run")
    assert {"odd", "last"} <= zoo.tables


NAMED = """
    import os, time
    raw = op.get_bind().exec_driver_sql
    raw("CREATE TABLE first (id INT)")
    other = 5 if os.environ["CI_MIGRATE_STAGE"] == "migrate" else 6
    raw(f"INSERT INTO first VALUES ({other})")
    raw(f"CREATE TEMPORARY TABLE odd_{time.time_ns()} (id INT)")
    raw("CREATE TABLE last (id INT)")
"""


def test_F60_mariadb_other_values_are_told_and_are_no_reason_to_stop_half_way(mysql_url, tmp_path):
    zoo = new_zoo(tmp_path, mysql_url, SYNC + PLAIN)
    zoo.revision("r3", "r2", NAMED)
    done = zoo.gate("run")
    assert {"first", "last"} <= zoo.tables
    assert zoo.rows("first") == [(5,)]
    told = " ".join(done.text.split())
    assert (
        "Not as rehearsed, in values alone: migrations/versions/r3.py:16 sends other values than in the dry run: INSERT INTO first VALUES (5) (rehearsed: INSERT INTO first VALUES (6))"
        in told
    )
    assert "CREATE TEMPORARY TABLE odd_" in told
    assert "Not as rehearsed" in done.stage("migrate")["message"]
    assert "other values" in zoo.call("audit", "show").text


def test_F60_where_nothing_is_committed_yet_they_are_refused(mysql_url, tmp_path):
    zoo = new_zoo(tmp_path, mysql_url, SYNC + PLAIN)
    zoo.gate("run")
    zoo.revision(
        "r3",
        "r2",
        NAMED.replace('    raw("CREATE TABLE first (id INT)")\n', "").replace(
            "INTO first", "INTO users (id)"
        ),
    )
    done = zoo.run("run")
    assert done.code == 6, done.text
    assert "INSERT INTO users (id) VALUES (5) (rehearsed: INSERT INTO users (id) VALUES (6))" in " ".join(
        done.text.split()
    )
    assert zoo.rows("users") == []


FAILS = r"""
    import os, uuid
    raw = op.get_bind().exec_driver_sql
    raw("CREATE TABLE first (id TEXT)")
    raw(f'INSERT INTO first VALUES ("{uuid.uuid4()}")')
    raw("CREATE TABLE second (id INT)")
    if os.environ["CI_MIGRATE_STAGE"] == "migrate" and not os.environ.get("MENDED"):
        raise ValueError("boom")
    raw(f'INSERT INTO second VALUES (-{uuid.uuid4().int % 100})')
    raw("CREATE TABLE last (id INT)")
"""


@pytest.mark.parametrize("server", ["mysql_url", "mysql97_url"])
def test_F60_repair_forward_goes_on_whatever_the_values_were(request, tmp_path, server):
    zoo = new_zoo(tmp_path, request.getfixturevalue(server), SYNC + PLAIN)
    zoo.settings("[targets.default]\nauto-rollback = false\n")
    zoo.revision("r3", "r2", FAILS)
    done = zoo.run("run")
    assert done.code == 7, done.text
    assert {"first", "second"} <= zoo.tables
    assert "last" not in zoo.tables
    zoo.gate("repair", "--forward", env={"MENDED": "1"})
    assert "last" in zoo.tables
    assert [len(zoo.rows(t)) for t in ("first", "second")] == [1, 1]

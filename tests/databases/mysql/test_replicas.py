"""Replicas of MySQL and MariaDB, by real replication between two servers: F6."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pymysql
import pytest
from http_service import wait_for
from mysql_server import PASSWORD, MySQLServer

from ci_migrate.databases.mysql import replicas
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.errors import DatabaseError, RefusedError


def ask(server: MySQLServer, *statements: str) -> list[dict[str, Any]]:
    """Run statements as who may do anything; the rows of the last one."""
    with pymysql.connect(
        host="127.0.0.1",
        port=server.port,
        user="admin",
        password=PASSWORD,
        autocommit=True,
        cursorclass=pymysql.cursors.DictCursor,
    ) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


class Two:
    """Two servers of one kind, and a third one that has nothing to do with them."""

    def __init__(self, start: Callable[..., Any], stack: Any, *, mariadb: bool) -> None:
        self.mariadb = mariadb
        log = (
            ("--log-bin=bin",)
            if mariadb
            else ("--log-bin=bin", "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
        )
        # the third one has the number of the first: most servers have 1
        self.source, self.replica, self.other = (
            stack.enter_context(start(settings=(*log, f"--server-id={number}"))) for number in (1, 2, 1)
        )
        for server in (self.source, self.other):
            ask(server, "CREATE DATABASE app", "CREATE TABLE app.t (a int PRIMARY KEY)")
        ask(self.other, "INSERT INTO app.t VALUES (1), (2), (3)", "INSERT INTO app.t VALUES (4)")
        self.follow(self.source)

    def follow(self, source: MySQLServer, password: str = PASSWORD) -> None:
        secret = password.replace("\\", "\\\\").replace("'", "\\'")
        if self.mariadb:
            to = f"MASTER_HOST='127.0.0.1', MASTER_PORT={source.port}, MASTER_USER='admin', MASTER_PASSWORD='{secret}'"
            ask(self.replica, f"CHANGE MASTER TO {to}, MASTER_USE_GTID=slave_pos", "START SLAVE")
        else:
            to = f"SOURCE_HOST='127.0.0.1', SOURCE_PORT={source.port}, SOURCE_USER='admin', SOURCE_PASSWORD='{secret}'"
            more = "SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
            ask(self.replica, f"CHANGE REPLICATION SOURCE TO {to}, {more}", "START REPLICA")

    def word(self, mariadb: str, mysql: str) -> str:
        return mariadb if self.mariadb else mysql

    def stop(self, thread: str = "") -> None:
        ask(self.replica, f"STOP {self.word('SLAVE', 'REPLICA')} {thread}")

    def start(self) -> None:
        ask(self.replica, f"START {self.word('SLAVE', 'REPLICA')}")

    def replicates(self, primary: MySQLServer, user: str = "admin", password: str = PASSWORD) -> bool:
        return MySQL(self.replica.url("app", user, password)).replicates(MySQL(primary.url("app")))


@pytest.fixture(params=["mariadb", "mysql"])
def two(request) -> Iterator[Two]:
    with ExitStack() as stack:
        start = request.getfixturevalue(f"start_{request.param}")
        yield Two(start, stack, mariadb=request.param == "mariadb")


def refused(two: Two, *words: str, primary: MySQLServer | None = None, **login: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        two.replicates(primary or two.source, **login)
    for word in words:
        assert word in f"{caught.value.what} {caught.value.hint}"
    return caught.value


def test_F6_a_replica_is_known_by_its_source_and_must_follow_it(two, monkeypatch):
    monkeypatch.setattr(replicas, "CATCH_UP", 3.0)
    wait_for(lambda: ask(two.replica, "SHOW DATABASES LIKE 'app'"), "it does not replicate")
    assert two.replicates(two.source)
    ask(two.source, *(f"INSERT INTO app.t VALUES ({number})" for number in range(200)))
    assert two.replicates(two.source), "what it has not applied yet comes within a moment"
    assert not two.replicates(two.other), (
        "a server of the same number, and in the same place of its log or near it"
    )
    assert not MySQL(two.other.url("app")).replicates(MySQL(two.source.url("app"))), "it replicates nobody"
    assert not MySQL(two.replica.url("mysql")).replicates(MySQL(two.source.url("app"))), (
        "another database of it"
    )
    # the right to ask
    ask(two.replica, "CREATE USER poor@'127.0.0.1'", "GRANT SELECT ON app.* TO poor@'127.0.0.1'")
    grant = two.word("GRANT SLAVE MONITOR ON *.* TO 'poor'", "GRANT REPLICATION CLIENT ON *.* TO 'poor'")
    refused(two, "poor may not ask", grant, user="poor", password="")
    ask(two.replica, f"{grant}@'127.0.0.1'")
    assert two.replicates(two.source, "poor", "")
    # behind, stopped, cut off
    two.stop("SQL_THREAD")
    refused(two, "does not follow its source", "SQL: No", "START REPLICA")
    two.start()
    two.stop("IO_THREAD")
    refused(two, "IO: No", "it was stopped")
    two.start()
    assert wait_for(lambda: two.replicates(two.source), "it does not go on")


def test_F6_a_replica_that_leaves_something_out_or_is_delayed_is_refused_and_as_a_target_too(
    two, monkeypatch
):
    monkeypatch.setattr(replicas, "CATCH_UP", 1.0)
    wait_for(lambda: ask(two.replica, "SHOW DATABASES LIKE 'app'"), "it does not replicate")
    two.stop()
    delay = two.word(
        "CHANGE MASTER TO MASTER_DELAY = 3600", "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 3600"
    )
    ask(two.replica, delay)
    two.start()
    ask(two.source, "INSERT INTO app.t VALUES (1000)")
    refused(two, "is behind by", "older data")
    two.stop()
    ask(two.replica, delay.replace("3600", "0"))
    leave = two.word(
        "SET GLOBAL replicate_ignore_table = 'app.t'",
        "CHANGE REPLICATION FILTER REPLICATE_IGNORE_TABLE = (app.t)",
    )
    ask(two.replica, leave)
    two.start()
    refused(two, "leaves changes out", "Ignore_Table = app.t")
    # as a target
    for setting in two.word("read_only", "read_only super_read_only").split():
        ask(two.replica, f"SET GLOBAL {setting} = 1")
        with pytest.raises(DatabaseError, match="read-only") as caught:
            MySQL(two.replica.url("mysql")).ping()
        assert "primary" in caught.value.hint

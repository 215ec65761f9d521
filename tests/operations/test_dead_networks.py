"""A network that vanishes ends each session within a minute or two: the system looks whether the server is there."""

import json
import os
import socket
import sys
from typing import Any

import pymysql
import pytest
from kill_support import Shop, new_shop
from sqlalchemy import create_engine, text

from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.ledger.connect import open_engine
from ci_migrate.ledger.ledger import ledger_url

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS has other names for it")

WANTED = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
LOOKS = """
import json, socket
own = op.get_bind().connection.driver_connection
found = getattr(own, "_sock", None) or socket.socket(fileno=__import__("os").dup(own.fileno()))
names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
open("options.json", "w").write(json.dumps({n: found.getsockopt(socket.IPPROTO_TCP, getattr(socket, n)) for n in names}))
"""


def options_of(connection: Any) -> dict[str, int]:
    """Of a connection of psycopg or PyMySQL."""
    own = connection._sock if isinstance(connection, pymysql.Connection) else None
    if own is None:
        own = socket.socket(fileno=os.dup(connection.fileno()))
    assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return {name: own.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in WANTED}


@pytest.fixture(params=["postgresql_url", "mysql_url"])
def url(request) -> Any:
    return request.getfixturevalue(request.param)


def test_F103_our_own_sessions(url) -> None:
    database = (PostgreSQL if url.get_backend_name() == "postgresql" else MySQL)(url)
    with database.engine().connect() as connection:
        assert options_of(connection.connection.driver_connection) == WANTED


def test_F103_the_server_notices_that_we_are_gone_and_programs_that_it_is(postgresql_url) -> None:
    """It would hold a dead run's lock for two hours, and pg_dump would wait as long."""
    access = PostgreSQL(postgresql_url.set(host="127.0.0.1", query={}))._access
    with access.session() as connection:
        found = [
            connection.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                "tcp_keepalives_idle",
                "tcp_keepalives_interval",
                "tcp_keepalives_count",
                "tcp_user_timeout",
            )
        ]
    assert found == ["30", "10", "3", "60000"]
    assert "keepalives_idle=30" in access.conninfo()


def test_F103_the_child_s_session_and_the_ledger_s(url, tmp_path) -> None:
    shop: Shop = new_shop(tmp_path, url)
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    shop.revision("r1", "r0", LOOKS, "pass")
    done = shop.here("run")
    assert done.code == 0, done.text
    assert json.loads((tmp_path / "options.json").read_text()) == WANTED
    engine = open_engine(ledger_url(create_engine(shop.url).url, None), create=False)
    assert engine is not None
    with engine.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
        assert options_of(connection.connection.driver_connection) == WANTED
    engine.dispose()

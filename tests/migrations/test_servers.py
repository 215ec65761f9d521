"""Two servers that look alike: the one that answers is asked who it is, whatever its address is called."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from env_zoo import PLAIN, SYNC, Zoo, new_zoo, url_of

DATABASE = "app"


def make_app(url: sa.URL) -> sa.URL:
    """A fresh database `app`, on each server with the same first oid."""
    drivers = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
    admin = sa.create_engine(url.set(drivername=drivers[url.get_backend_name()]), poolclass=sa.NullPool)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"create database {DATABASE}")
    return admin.url.set(database=DATABASE)


@pytest.fixture(params=["postgresql", "mysql"])
def two(request):
    """The URLs of two databases of one name, on two fresh servers of one machine."""
    if request.param == "postgresql":
        start = request.getfixturevalue("start_postgresql")
        with start() as one, start(port=one.port) as other:
            yield make_app(one.socket_url()), make_app(other.socket_url())
    else:
        start = request.getfixturevalue("start_mariadb")
        with start() as one, start() as other:
            socket = {"unix_socket": str(one.socket)}
            yield (
                make_app(one.admin_url).set(host="localhost", port=None, query=socket),
                make_app(other.admin_url),
            )


def zoo_on(url: sa.URL, folder: Path, env: str = PLAIN) -> Zoo:
    zoo = new_zoo(folder, url, SYNC + env)
    zoo.target()
    return zoo


def test_F1_the_database_of_the_same_name_on_another_server_is_another_one(two, tmp_path):
    """The setting leads to one, env.py to the other."""
    target, there = two
    zoo = zoo_on(target, tmp_path, "import os\nurl = os.environ['OTHER_URL']\n" + PLAIN)
    zoo.environ["OTHER_URL"] = there.render_as_string(hide_password=False)
    refused = zoo.gate("run", code=1)
    assert "another server" in refused.text
    assert refused.outcomes["check"] != "passed", "and nothing is copied or rehearsed"
    assert zoo.tables == set()
    assert sa.inspect(zoo.engine(there)).get_table_names() == []


RAW = {
    "postgresql": """
    import psycopg, psycopg2, asyncpg, asyncio
    url = sa.make_url(url)
    parts = dict(host=url.query["host"], port=int(url.query["port"]), user="postgres")
    ways = {
        "psycopg": lambda: psycopg.connect(dbname="app", **parts),
        "async psycopg": lambda: asyncio.run(psycopg.AsyncConnection.connect(dbname="app", **parts)),
        "psycopg2": lambda: psycopg2.connect(dbname="app", **parts),
        "asyncpg": lambda: asyncio.run(asyncpg.connect(database="app", **parts)),
    }
    """,
    "mysql": """
    import pymysql, aiomysql, asyncmy, asyncio
    url = sa.make_url(url)
    parts = dict(host=url.host, port=url.port, user=url.username, password=url.password)
    ways = {
        "pymysql": lambda: pymysql.connect(database="app", **parts),
        "deferred": lambda: pymysql.connect(database="app", defer_connect=True, **parts).connect(),
        "aiomysql": lambda: asyncio.run(aiomysql.connect(db="app", **parts)),
        "asyncmy": lambda: asyncio.run(asyncmy.connect(database="app", **parts)),
    }
    """,
}


def test_F1_nor_does_a_connection_of_a_drivers_own_get_there(two, tmp_path):
    """Which no pool hears of; the copy of a dry run is all that it may reach, and the target afterwards."""
    target, there = two
    zoo = zoo_on(target, tmp_path)
    backend = there.get_backend_name()
    body = f"""
    import os, json
    url = {there.render_as_string(hide_password=False)!r}
    {RAW[backend]}
    seen = {{}}
    for name, way in ways.items():
        try:
            way()
            seen[name] = "connected"
        except Exception as error:
            seen[name] = str(error)
    with open("seen-" + os.environ["CI_MIGRATE_STAGE"], "w") as file:
        json.dump(seen, file)
    """
    zoo.revision("r3", "r2", body)
    zoo.run("run")
    seen = json.loads((tmp_path / "seen-migrate").read_text())
    assert {name: words for name, words in seen.items() if "another server" not in words} == {}
    assert len(seen) == 4


def test_F1_another_file_under_the_same_name(request, tmp_path):
    """Put there between our look and the project's connection."""
    swap = (
        "import os, shutil\n"
        "if os.environ.get('CI_MIGRATE_STAGE') == 'migrate':\n"
        "    shutil.copy('app.db', 'other.db')\n"
        "    os.replace('other.db', 'app.db')\n"
    )
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "sqlite"), SYNC + swap + PLAIN)
    zoo.prepare("create table kept (id integer)")
    done = zoo.run("run")
    assert done.code not in (0, 70)
    assert "another file than the one that was there" in " ".join(done.text.split())
    assert "users" not in zoo.tables


def test_F2_a_service_file_does_not_lead_elsewhere(start_postgresql, tmp_path):
    """The URL names no host: libpq takes it from the service, for us and for env.py alike, or nothing runs."""
    with start_postgresql() as one, start_postgresql(port=one.port) as other:
        target, there = make_app(one.socket_url()), make_app(other.socket_url())
        services = tmp_path / "services"
        services.write_text(f"[there]\nhost={other.sockets}\nport={other.port}\nuser=postgres\n")
        zoo = zoo_on(target, tmp_path)
        zoo.environ.update(PGSERVICEFILE=str(services), PGSERVICE="there")
        zoo.gate("run")
        assert zoo.tables == {"users", "alembic_version"}
        assert sa.inspect(zoo.engine(there)).get_table_names() == []


def test_F2_what_env_py_puts_into_the_environment_is_refused(start_postgresql, tmp_path):
    """After we looked where it leads."""
    with start_postgresql() as one, start_postgresql(port=one.port) as other:
        target, there = make_app(one.socket_url()), make_app(other.socket_url())
        services = tmp_path / "services"
        services.write_text(f"[there]\nhost={other.sockets}\nport={other.port}\nuser=postgres\n")
        zoo = zoo_on(
            target.difference_update_query(["host"]).update_query_dict({"port": str(one.port)}),
            tmp_path,
            f"import os\nos.environ.update(PGSERVICEFILE={str(services)!r}, PGSERVICE='there')\n"
            "os.environ.pop('PGHOST', None)\n" + PLAIN,
        )
        zoo.environ["PGHOST"] = str(one.sockets)
        refused = zoo.gate("run", code=1)
        assert "another server" in refused.text
        assert sa.inspect(zoo.engine(there)).get_table_names() == []


def test_F9_several_hosts_and_read_write(request, tmp_path):
    """As libpq takes them: the first one that answers, for our sessions that only read as well."""
    given = url_of(request, tmp_path, "postgresql")
    hosts = {"host": [f"{given.host}:1", f"{given.host}:{given.port}"], "target_session_attrs": "read-write"}
    zoo = zoo_on(given.set(host=None, port=None, query=hosts), tmp_path)
    zoo.gate("run")
    zoo.url = given
    assert zoo.tables == {"users", "alembic_version"}


def test_F9_a_socket_in_alembic_ini_is_kept(request, tmp_path):
    given = url_of(request, tmp_path, "mysql")
    server = request.getfixturevalue("mariadb_server")
    zoo = new_zoo(
        tmp_path,
        given.set(host="localhost", port=None, query={"unix_socket": str(server.socket)}),
        SYNC + PLAIN,
    )
    zoo.gate("run")
    assert zoo.versions() == ["r2"]

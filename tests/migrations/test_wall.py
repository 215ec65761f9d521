"""The wall: whatever a revision connects to in a dry run, the target and all other databases stay as they are."""

import json
import textwrap
from pathlib import Path

import pytest
from env_zoo import PLAIN, SYNC, new_zoo, url_of

from ci_migrate.migrations.worker.reach import leaves_mysql, leaves_postgresql
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL

WAYS = {
    "sqlite": """
    import sqlite3, os
    from sqlalchemy.pool import QueuePool, StaticPool

    def look(connection):
        try:
            return connection.execute("pragma database_list").fetchall()[0][2]
        finally:
            connection.close()

    def engine(**keywords):
        with sa.create_engine(**keywords).connect() as connection:
            return connection.exec_driver_sql("pragma database_list").fetchall()[0][2]

    file = url.database
    raw = lambda: sqlite3.connect(file)

    def by_aiosqlite():
        import aiosqlite, asyncio
        async def read():
            async with aiosqlite.connect(file) as connection:
                async with connection.execute("pragma database_list") as cursor:
                    return (await cursor.fetchone())[2]
        return asyncio.run(read())

    def by_chdir():
        here = os.getcwd()
        os.chdir(os.path.dirname(file))
        try:
            return look(sqlite3.connect(os.path.basename(file)))
        finally:
            os.chdir(here)

    def by_link():
        if not os.path.exists(file + ".link"):
            os.link(file, file + ".link")
        return look(sqlite3.connect(file + ".link"))

    WAYS = {
        "engine": lambda: engine(url=url),
        "creator": lambda: engine(url="sqlite://", creator=raw),
        "QueuePool": lambda: engine(url="sqlite://", pool=QueuePool(raw)),
        "StaticPool": lambda: engine(url="sqlite://", poolclass=StaticPool, creator=raw),
        "sqlite3.connect": lambda: look(raw()),
        "keyword": lambda: look(sqlite3.connect(database=file)),
        "path": lambda: look(sqlite3.connect(__import__("pathlib").Path(file))),
        "bytes": lambda: look(sqlite3.connect(file.encode())),
        "dbapi2": lambda: look(sqlite3.dbapi2.connect(file)),
        "uri": lambda: look(sqlite3.connect(f"file:{file}?cache=private", uri=True)),
        "uri that is not in memory": lambda: look(sqlite3.connect(f"file:{file}?xmode=memory", uri=True)),
        "uri that is not in memory after all": lambda: look(sqlite3.connect(f"file:{file}?mode=memory&mode=rwc", uri=True)),
        "positional uri": lambda: look(sqlite3.connect(f"file:{file}", 5, 0, None, True, sqlite3.Connection, 10, True)),
        "aiosqlite": by_aiosqlite,
        "relative": by_chdir,
        "hard link": by_link,
    }
    """,
    "postgresql": """
    import asyncio, importlib.util, os
    assert importlib.util.find_spec("psycopg2")  # only asked for: it has to be wrapped when it is imported
    import psycopg2, psycopg, asyncpg, psycopg2.pool
    from sqlalchemy.pool import QueuePool, StaticPool
    from sqlalchemy.ext.asyncio import create_async_engine

    SQL = "select current_database()"
    parts = dict(host=url.host, port=url.port, user=url.username, password=url.password)
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    quoted = str(url.password).replace("\\\\", "\\\\\\\\").replace("'", "\\\\'")
    dsn = f"host={url.host} port={url.port} user={url.username} password='{quoted}' dbname={url.database}"

    def look(connection):
        try:
            cursor = connection.cursor()
            cursor.execute(SQL)
            return cursor.fetchone()[0]
        finally:
            connection.close()

    def engine(driver, **keywords):
        engine = sa.create_engine(url.set(drivername="postgresql+" + driver), **keywords)
        with engine.connect() as connection:
            return connection.exec_driver_sql(SQL).scalar()

    def asynchronous(make):
        async def read():
            engine = make()
            try:
                async with engine.connect() as connection:
                    return (await connection.exec_driver_sql(SQL)).scalar()
            finally:
                await engine.dispose()
        return asyncio.run(read())

    def by_asyncpg(*arguments, **keywords):
        async def read():
            connection = await asyncpg.connect(*arguments, **keywords)
            try:
                return await connection.fetchval(SQL)
            finally:
                await connection.close()
        return asyncio.run(read())

    def by_asyncpg_pool():
        async def read():
            async with asyncpg.create_pool(plain, min_size=1, max_size=1) as pool:
                return await pool.fetchval(SQL)
        return asyncio.run(read())

    def by_async_psycopg():
        async def read():
            async with await psycopg.AsyncConnection.connect(plain) as connection:
                return (await (await connection.execute(SQL)).fetchone())[0]
        return asyncio.run(read())

    def by_environment():
        os.environ.update(PGHOST=url.host, PGPORT=str(url.port), PGDATABASE=url.database, PGUSER=url.username, PGPASSWORD=url.password)
        try:
            return look(psycopg2.connect(""))
        finally:
            for name in ("HOST", "PORT", "DATABASE", "USER", "PASSWORD"):
                del os.environ["PG" + name]

    def by_async_creator():
        return asynchronous(lambda: create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(plain)))

    WAYS = {
        "engine psycopg": lambda: engine("psycopg"),
        "engine psycopg2": lambda: engine("psycopg2"),
        "engine asyncpg": lambda: asynchronous(lambda: create_async_engine(url.set(drivername="postgresql+asyncpg"))),
        "engine psycopg_async": lambda: asynchronous(lambda: create_async_engine(url.set(drivername="postgresql+psycopg"))),
        "async_creator": by_async_creator,
        "creator psycopg": lambda: engine("psycopg", creator=lambda: psycopg.connect(plain)),
        "creator psycopg2": lambda: engine("psycopg2", creator=lambda: psycopg2.connect(plain)),
        "QueuePool": lambda: engine("psycopg2", pool=QueuePool(lambda: psycopg2.connect(dsn))),
        "StaticPool": lambda: engine("psycopg2", poolclass=StaticPool, creator=lambda: psycopg2.connect(dsn)),
        "psycopg url": lambda: look(psycopg.connect(plain)),
        "psycopg dsn": lambda: look(psycopg.connect(dsn)),
        "psycopg keywords": lambda: look(psycopg.connect(dbname=url.database, autocommit=True, **parts)),
        "psycopg.Connection": lambda: look(psycopg.Connection.connect(dsn)),
        "psycopg.AsyncConnection": by_async_psycopg,
        "psycopg2 url": lambda: look(psycopg2.connect(plain)),
        "psycopg2 dsn": lambda: look(psycopg2.connect(dsn)),
        "psycopg2 keywords": lambda: look(psycopg2.connect(database=url.database, **parts)),
        "psycopg2 pool": lambda: psycopg2.pool.SimpleConnectionPool(1, 1, dsn).getconn().info.dbname,
        "libpq environment": by_environment,
        "asyncpg url": lambda: by_asyncpg(plain),
        "asyncpg keywords": lambda: by_asyncpg(database=url.database, **parts),
        "asyncpg pool": by_asyncpg_pool,
        "localhost": lambda: look(psycopg2.connect(dsn.replace(url.host, "localhost"))),
    }
    """,
    "mysql": """
    import asyncio, importlib.util, os
    import pymysql, aiomysql, asyncmy
    from sqlalchemy.pool import QueuePool, StaticPool
    from sqlalchemy.ext.asyncio import create_async_engine

    SQL = "select database()"
    parts = dict(host=url.host, port=url.port, user=url.username, password=url.password)

    def look(connection):
        try:
            cursor = connection.cursor()
            cursor.execute(SQL)
            return cursor.fetchone()[0]
        finally:
            connection.close()

    def engine(driver, **keywords):
        engine = sa.create_engine(url.set(drivername=driver), **keywords)
        with engine.connect() as connection:
            return connection.exec_driver_sql(SQL).scalar()

    def asynchronous(driver):
        async def read():
            engine = create_async_engine(url.set(drivername=driver))
            try:
                async with engine.connect() as connection:
                    return (await connection.exec_driver_sql(SQL)).scalar()
            finally:
                await engine.dispose()
        return asyncio.run(read())

    def by_module(module, name, **keywords):
        async def read():
            connection = await module.connect(**parts, **{name: url.database})
            try:
                async with connection.cursor() as cursor:
                    await cursor.execute(SQL)
                    return (await cursor.fetchone())[0]
            finally:
                connection.close()
        return asyncio.run(read())

    raw = lambda: pymysql.connect(database=url.database, **parts)
    WAYS = {
        "engine pymysql": lambda: engine("mysql+pymysql"),
        "engine mariadb": lambda: engine("mariadb+pymysql"),
        "engine aiomysql": lambda: asynchronous("mysql+aiomysql"),
        "engine asyncmy": lambda: asynchronous("mysql+asyncmy"),
        "creator": lambda: engine("mysql+pymysql", creator=raw),
        "QueuePool": lambda: engine("mysql+pymysql", pool=QueuePool(raw)),
        "StaticPool": lambda: engine("mysql+pymysql", poolclass=StaticPool, creator=raw),
        "init_command": lambda: engine("mysql+pymysql", connect_args={"init_command": "SET @x = 1"}),
        "pymysql": lambda: look(raw()),
        "pymysql old names": lambda: look(pymysql.connect(db=url.database, host=url.host, port=url.port, user=url.username, passwd=url.password)),
        "pymysql.Connection": lambda: look(pymysql.connections.Connection(database=url.database, **parts)),
        "localhost": lambda: look(pymysql.connect(database=url.database, **{**parts, "host": "localhost"})),
        "deferred": lambda: (lambda c: (c.connect(), look(c))[1])(pymysql.connect(database=url.database, defer_connect=True, **parts)),
        "aiomysql": lambda: by_module(aiomysql, "db"),
        "asyncmy": lambda: by_module(asyncmy, "database"),
    }
    if importlib.util.find_spec("MySQLdb"):
        import MySQLdb
        WAYS["engine mysqldb"] = lambda: engine("mysql+mysqldb")
        WAYS["MySQLdb"] = lambda: look(MySQLdb.connect(database=url.database, **parts))
        WAYS["MySQLdb positions"] = lambda: look(MySQLdb.connect(url.host, url.username, url.password, url.database, url.port))
    """,
}
"""Ways to connect to `url`: each returns which database it came to."""

TRY = """
outcome = {}
for name, way in WAYS.items():
    try:
        outcome[name] = str(way())
    except Exception as error:
        outcome[name] = "%s: %s" % (type(error).__name__, error)
import json
with open("outcome-" + os.environ["CI_MIGRATE_STAGE"], "w") as f:
    json.dump(outcome, f)
"""


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def url(request, tmp_path):
    """An empty database of each engine."""
    return url_of(request, tmp_path, request.param)


def zoo_that_tries(folder, url, where):
    """A project at r1, with r2 pending that tries all ways to connect to `where`."""
    zoo = new_zoo(folder, url, SYNC + PLAIN, history=False)
    zoo.history(columns=False)
    zoo.gate("run")
    zoo.query("insert into users values (1, 'a')")
    ways = textwrap.dedent(WAYS[zoo.dialect]) + TRY
    zoo.revision("r2", "r1", f"url = sa.make_url({where.render_as_string(hide_password=False)!r})\n{ways}")
    return zoo


def outcome(zoo, stage):
    return json.loads((zoo.folder / f"outcome-{stage}").read_text())


def test_all_ways_to_the_target_lead_to_the_copy(url, tmp_path):
    zoo = zoo_that_tries(tmp_path, url, url)
    before = zoo.snapshot()
    zoo.gate("dry-run")
    places = outcome(zoo, "dry-run")
    wrong = {
        name: place
        for name, place in places.items()
        if "ci_migrate_scratch_" not in Path(place).name or " " in place
    }
    assert not wrong
    assert zoo.snapshot() == before
    zoo.gate("run")
    target = zoo.url.database
    wrong = {name: place for name, place in outcome(zoo, "migrate").items() if Path(place).name.removesuffix(".link") != Path(target).name}  # fmt: skip
    assert not wrong


def test_M11_all_ways_to_another_database_are_refused(url, other, tmp_path):
    zoo = zoo_that_tries(tmp_path, url, other)
    before, there = zoo.snapshot(), zoo.snapshot(other)
    done = zoo.gate("dry-run")
    places = outcome(zoo, "dry-run")
    name = Path(other.database).name
    wrong = {
        way: place for way, place in places.items() if not place.startswith("Refused: ") or name not in place
    }
    assert not wrong
    assert zoo.snapshot() == before
    assert zoo.snapshot(other) == there
    refused = done.stage("dry-run")["evidence"]["refusedConnections"]
    assert len(refused) >= len(places)
    assert all(name in words for words in refused)


def test_a_refusal_that_is_not_swallowed_ends_the_dry_run(url, other, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.revision("r3", "r2", f"sa.create_engine({other.render_as_string(hide_password=False)!r}).connect()")
    there = zoo.snapshot(other)
    done = zoo.gate("dry-run", code=1)
    assert Path(other.database).name in done.text
    assert "refused" in done.text
    assert zoo.snapshot(other) == there
    assert zoo.tables == set()


def test_M11_an_env_py_on_another_database_is_refused_when_it_is_read(url, other, tmp_path):
    env = SYNC + f"url = {other.render_as_string(hide_password=False)!r}\n" + PLAIN
    zoo = new_zoo(tmp_path, url, env)
    zoo.target()
    there = zoo.snapshot(other)
    done = zoo.gate("run", code=1)
    assert Path(other.database).name in done.text
    assert other.password is None or other.password not in done.text
    assert zoo.snapshot(other) == there


def test_allow_connections(url, other, tmp_path):
    """Reading there works in each stage; writing works in the migration only."""
    place = other.database if other.host is None else f"{other.host}:{other.port}/{other.database}"
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.revision(
        "r3",
        "r2",
        f"""
        import os
        with sa.create_engine({other.render_as_string(hide_password=False)!r}).connect() as there:
            assert there.exec_driver_sql("select count(*) from kept").scalar() == 1
            if os.environ["CI_MIGRATE_STAGE"] == "migrate" or os.path.exists("careless"):
                there.exec_driver_sql("insert into kept values (2)")
                there.commit()
        """,
    )
    zoo.settings(f"allow-connections = ['{place}']\n")
    (tmp_path / "careless").touch()
    done = zoo.gate("dry-run", code=1)
    assert (
        "read" in done.stage("dry-run")["message"].lower()
    )  # "attempt to write a readonly database", "read-only transaction"
    (tmp_path / "careless").unlink()
    zoo.gate("dry-run")
    assert zoo.query("select id from kept", other) == [(1,)]
    zoo.gate("run")
    assert zoo.query("select id from kept order by 1", other) == [(1,), (2,)]


def test_migrations_of_an_allowed_database_are_refused_all_the_same(url, other, tmp_path):
    """It was neither backed up nor rehearsed."""
    place = other.database if other.host is None else f"{other.host}:{other.port}/{other.database}"
    env = SYNC + PLAIN + f"url = {other.render_as_string(hide_password=False)!r}\n" + PLAIN
    zoo = new_zoo(tmp_path, url, env)
    zoo.target()
    zoo.settings((tmp_path / "ci-migrate.toml").read_text() + f"allow-connections = ['{place}']\n")
    there = zoo.snapshot(other)
    done = zoo.gate("run", code=1)
    assert "not the target" in done.text
    assert zoo.tables == set()
    assert zoo.snapshot(other) == there


# --------------------------------------------------------------------------- SQLite


@pytest.mark.parametrize(
    "statement",
    [
        "op.execute(\"attach '{}' as there\")",
        "op.get_bind().connection.dbapi_connection.execute(\"attach 'file:{}?mode=rwc' as there\")",
        "op.get_bind().connection.dbapi_connection.execute(\"attach 'file:{}?xmode=memory' as there\")",
        "op.get_bind().connection.cursor().execute('attach ? as there', ('{}',))",
        "op.get_bind().connection.dbapi_connection.execute(\"vacuum into '{}.copy'\")",
        "__import__('sqlite3').Connection('{}')",
        "__import__('sqlite3').connect(':memory:').execute(\"attach '{}' as there\")",
        "__import__('sqlite3').connect('{}.new')",
    ],
)
def test_sqlite_attach_and_the_like(request, tmp_path, statement):
    url = url_of(request, tmp_path, "sqlite")
    other = tmp_path / "other.db"
    other.write_bytes(b"")
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.revision("r3", "r2", statement.format(other))
    done = zoo.gate("dry-run", code=1)
    assert ("that is not named" if "attach ?" in statement else str(other)) in done.stage("dry-run")[
        "message"
    ]
    assert zoo.tables == set()
    assert other.read_bytes() == b""
    assert not Path(f"{other}.copy").exists()
    assert not Path(f"{other}.new").exists()


def test_sqlite_in_memory_is_nobodys_business(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "sqlite"), SYNC + PLAIN)
    zoo.revision("r3", "r2", "import sqlite3\nsqlite3.connect(':memory:').execute(\"attach '' as x\").execute('create table x.t (id)')")  # fmt: skip
    zoo.gate("run")


# --------------------------------------------------------------------------- PostgreSQL

OPTIONS = {
    "psycopg options": "create_engine(url, connect_args={'options': '-csearch_path=shop -cstatement_timeout=77s'})",
    "psycopg2 url": "create_engine(sqlalchemy.make_url(url).set(drivername='postgresql+psycopg2').update_query_dict({'options': '-csearch_path=shop -cstatement_timeout=77s'}))",
    "asyncpg": "create_async_engine(sqlalchemy.make_url(url).set(drivername='postgresql+asyncpg'), connect_args={'server_settings': {'search_path': 'shop', 'statement_timeout': '77s'}}).sync_engine",
}


@pytest.mark.parametrize("way", OPTIONS)
def test_arguments_of_the_session_survive_the_redirection(request, tmp_path, way):
    env = (
        "import sqlalchemy, asyncio\nfrom sqlalchemy.ext.asyncio import create_async_engine\n"
        + SYNC
        + f"""
engine = {OPTIONS[way]}
def work(connection):
    with open("seen", "a") as file:
        for name in ("search_path", "statement_timeout", "lock_timeout", "application_name"):
            file.write(connection.exec_driver_sql("show " + name).scalar() + " ")
        file.write("\\n")
    connection.rollback()
    migrate(connection)
if engine.dialect.is_async:
    from sqlalchemy.ext.asyncio import AsyncEngine
    async def main():
        async with AsyncEngine(engine).connect() as connection:
            await connection.run_sync(work)
    asyncio.run(main())
else:
    with engine.connect() as connection:
        work(connection)
"""
    )
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), env)
    zoo.prepare("create schema shop")
    zoo.gate("run")
    lines = {tuple(line.split()) for line in (tmp_path / "seen").read_text().splitlines()}
    # on the copy nobody else waits: a longer lock timeout
    assert {line[:3] for line in lines} == {("shop", "77s", "5s"), ("shop", "77s", "2s")}
    assert all(line[3].startswith("ci-migrate/") for line in lines)
    assert "shop.users" in zoo.tables


OTHERS = ["shop", "mysql", "information_schema"]
LEAVES = [
    "CREATE ROLE cim_intruder",
    "create user cim_intruder",
    "/* hello */ CREATE -- you\n ROLE cim_intruder",
    "SELECT 1; CREATE ROLE cim_intruder",
    "DO $$ BEGIN CREATE ROLE cim_intruder; END $$",
    "DO $x$ BEGIN EXECUTE 'CREATE ROLE cim_intruder'; END $x$",
    "ALTER ROLE postgres CONNECTION LIMIT 40",
    "ALTER SYSTEM SET work_mem = '5MB'",
    "ALTER DATABASE postgres SET work_mem = '5MB'",
    "COMMENT ON DATABASE postgres IS 'here was a migration'",
    "COMMENT ON ROLE postgres IS 'here was a migration'",
    "CREATE DATABASE cim_intruder",
    "DROP DATABASE IF EXISTS cim_intruder",
    "CREATE TABLESPACE x LOCATION '/tmp'",
    "CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw",
    "CREATE USER MAPPING FOR postgres SERVER s",
    "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
    "GRANT CONNECT ON DATABASE postgres TO PUBLIC",
    "REVOKE ALL ON DATABASE postgres FROM PUBLIC",
    "GRANT pg_monitor TO postgres",
    "REASSIGN OWNED BY postgres TO postgres",
    "COPY kept TO '/tmp/cim_intruder'",
    "COPY kept TO PROGRAM 'cat'",
    "COPY kept FROM '/etc/passwd'",
    "SELECT * FROM dblink('dbname=postgres', 'select 1') AS t(x int)",
    "SELECT pg_terminate_backend(1)",
    "SELECT lo_export(1, '/tmp/cim_intruder')",
    "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
    "DO $$ BEGIN -- x\n CREATE ROLE cim_intruder; END $$",
    "DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'cim_intruder'); END $$",
    "DO $$ BEGIN EXECUTE 'CREATE '||'ROLE cim_intruder'; END $$",
    "DO 'BEGIN CREATE ROLE cim_intruder; END'",
    "ALTER DATABASE postgres RENAME TO cim_intruder",
    "GRANT CONNECT ON DATABASE ci_copy, postgres TO PUBLIC",
]
STAYS = [
    "CREATE TABLE roles (id integer)",
    "INSERT INTO kept VALUES ('CREATE ROLE x; DROP DATABASE y')",
    "COMMENT ON TABLE kept IS 'ALTER SYSTEM; CREATE ROLE'",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE later; END $$",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'select pg_terminate_backend(1)'",
    "ALTER TABLE parent ATTACH PARTITION child FOR VALUES IN (1)",
    "GRANT SELECT ON kept TO PUBLIC",
    "REVOKE INSERT, UPDATE ON kept FROM PUBLIC",
    "GRANT USAGE ON SCHEMA shop TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO PUBLIC",
    "COPY kept FROM STDIN",
    "COPY (SELECT * FROM kept WHERE x = 'a') TO STDOUT",
    "CREATE TABLE users (role text, database text, server text)",
    "UPDATE users SET role = 'x' -- then drop role y",
    "ALTER TABLE users OWNER TO postgres",
    "DROP TABLE tablespace_users",
    "CREATE INDEX CONCURRENTLY i ON users (id)",
    "REFRESH MATERIALIZED VIEW v",
    "SELECT CASE WHEN true THEN 'grant' ELSE 'alter system' END FROM kept",
    "INSERT INTO dblink_hosts (host) VALUES ('x')",
    "INSERT INTO dblink (host) VALUES ('x')",
    "CREATE TABLE dblink (host text)",
    "ALTER DATABASE ci_copy SET work_mem = '5MB'",
    "ALTER DATABASE \"ci_copy\" SET work_mem = '5MB'",
    "GRANT CONNECT ON DATABASE ci_copy TO PUBLIC",
    "COMMENT ON DATABASE ci_copy IS 'x'",
    "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO PUBLIC', current_database()); END $$",
    "DO $$ BEGIN -- CREATE ROLE x;\n RAISE NOTICE 'DROP ROLE x'; END $$",
]


@pytest.mark.parametrize("sql", LEAVES)
def test_statements_that_leave_the_database(sql):
    assert leaves_postgresql(sql, "ci_copy", POSTGRESQL)


@pytest.mark.parametrize("sql", STAYS)
def test_statements_that_stay_in_it(sql):
    assert not leaves_postgresql(sql, "ci_copy", POSTGRESQL)


def that_sends(statements):
    """A revision that sends each of them, and writes down what came of it."""
    return f"""
    import json, os
    outcome = {{}}
    for sql in {statements!r}:
        try:
            op.get_bind().exec_driver_sql(sql)
        except Exception as error:
            outcome[sql] = "%s: %s" % (type(error).__name__, error)
        else:
            outcome[sql] = "sent"
    with open("outcome-" + os.environ["CI_MIGRATE_STAGE"], "w") as file:
        json.dump(outcome, file)
    """


def test_statements_that_leave_the_copy_are_not_sent(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    zoo.prepare("create table kept (id text)")
    zoo.revision("r3", "r2", that_sends(LEAVES))
    before = zoo.snapshot()
    done = zoo.gate("dry-run")
    wrong = {
        sql: words for sql, words in outcome(zoo, "dry-run").items() if not words.startswith("Refused: ")
    }
    assert not wrong
    assert zoo.snapshot() == before
    assert len(done.stage("dry-run")["evidence"]["refusedConnections"]) == len(LEAVES)


def test_one_of_them_ends_the_dry_run(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    zoo.revision("r3", "r2", 'op.execute("CREATE ROLE cim_intruder")')
    done = zoo.gate("dry-run", code=1)
    assert "CREATE ROLE cim_intruder" in done.text
    assert zoo.query("select 1 from pg_roles where rolname = 'cim_intruder'") == []


FUNCTION = "CREATE FUNCTION sneak() RETURNS int LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE cim_intruder; RETURN 1; END $$"
SNEAKS = {
    "a text that is put together": [
        "DO $$ DECLARE a text := 'CREATE'; BEGIN EXECUTE a || chr(32) || 'ROLE cim_intruder'; END $$"
    ],
    "a function": [FUNCTION, "SELECT sneak()"],
    "a trigger": [
        FUNCTION,
        "CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM sneak(); RETURN NEW; END $$",
        "CREATE TRIGGER t BEFORE INSERT ON kept FOR EACH ROW EXECUTE FUNCTION fire()",
        "INSERT INTO kept VALUES ('x')",
    ],
    "a commit of its own": [FUNCTION, "INSERT INTO kept SELECT sneak()", "COMMIT"],
    "another database": [
        "DO $$ DECLARE d text := 'ALTER DATABASE postgres'; BEGIN EXECUTE d || ' SET work_mem = 5000'; END $$"
    ],
    "a membership": [
        "DO $$ DECLARE g text := 'GRANT pg_signal_backend'; BEGIN EXECUTE g || ' TO pg_monitor'; END $$"
    ],
}


@pytest.mark.parametrize("way", SNEAKS)
def test_F61_the_server_says_what_is_written_for_all_databases(request, tmp_path, way):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    zoo.prepare("create table kept (id text)")
    zoo.revision("r3", "r2", "\n".join(f"op.execute({sql!r})" for sql in SNEAKS[way]))
    before = (
        zoo.snapshot(),
        zoo.query("select * from pg_db_role_setting"),
        zoo.query("select * from pg_auth_members"),
    )
    done = zoo.gate("dry-run", code=1)
    told = " ".join(done.text.split())
    assert "The dry run asked for a change of what the whole server shares (pg_" in told
    assert (
        zoo.snapshot(),
        zoo.query("select * from pg_db_role_setting"),
        zoo.query("select * from pg_auth_members"),
    ) == before


def test_F61_what_belongs_to_the_copy_is_rehearsed(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    zoo.prepare("create table dblink_hosts (host text)")
    zoo.revision(
        "r3",
        "r2",
        """
    name = op.get_bind().exec_driver_sql("SELECT current_database()").scalar()
    op.execute(f'ALTER DATABASE "{name}" SET work_mem = 5000')
    op.execute(f'GRANT CONNECT ON DATABASE "{name}" TO pg_monitor')
    op.execute(f"COMMENT ON DATABASE {name} IS 'here'")
    op.execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET maintenance_work_mem = 5000', current_database()); END $$")
    op.execute("INSERT INTO dblink_hosts (host) VALUES ('https://test.example.org/')")
    """,
    )
    zoo.gate("run")
    name = zoo.url.database
    assert zoo.query(
        f"select setconfig from pg_db_role_setting s join pg_database d on d.oid = setdatabase where datname = '{name}'"
    ) == [(["work_mem=5000", "maintenance_work_mem=5000"],)]


PSQL = """
    import subprocess
    subprocess.run([{psql!r}, *{arguments!r}, "-qc", "insert into kept values ('by psql')"], check=True)
"""


def with_psql(request, tmp_path, arguments):
    url = url_of(request, tmp_path, "postgresql")
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.prepare("create table kept (id text)")
    psql = str(request.getfixturevalue("postgresql_bin") / "psql")
    zoo.revision("r3", "r2", PSQL.format(psql=psql, arguments=[a.format(url.database) for a in arguments]))
    zoo.environ |= {
        "PGHOST": url.host, "PGPORT": str(url.port), "PGUSER": url.username, "PGPASSWORD": url.password, "PGDATABASE": url.database,
    }  # fmt: skip
    return zoo


def test_F62_psql_of_a_revision_comes_to_the_copy(request, tmp_path):
    zoo = with_psql(request, tmp_path, [])
    done = zoo.gate("dry-run")
    assert zoo.rows("kept") == []
    assert "of the target while the dry run ran" not in " ".join(done.text.split())
    zoo.gate("run")
    assert zoo.rows("kept") == [("by psql",)]


def test_F62_where_it_comes_to_the_target_that_is_told(request, tmp_path):
    zoo = with_psql(request, tmp_path, ["-d", "{}"])
    done = zoo.gate("dry-run")
    assert zoo.rows("kept") == [("by psql",)]
    assert "Not compared: who wrote to public.kept of the target while the dry run ran" in " ".join(
        done.text.split()
    )


@pytest.mark.parametrize("server", ["mysql_url", "mysql97_url"])
def test_F62_mysql_what_was_written_to_the_target_is_told(request, tmp_path, server):
    url = request.getfixturevalue(server)
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.prepare("create table kept (id text)")
    code = (
        f"import pymysql; c = pymysql.connect(host={url.host!r}, port={url.port}, user={url.username!r}, "
        f"password={url.password!r}, database={url.database!r}); c.cursor().execute('insert into kept values (1)'); c.commit()"
    )
    zoo.revision(
        "r3", "r2", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"
    )
    done = zoo.gate("dry-run")
    assert zoo.rows("kept") == [("1",)]
    assert "Not compared: who wrote to kept of the target while the dry run ran" in " ".join(
        done.text.split()
    )


MEANT = 'ci_migrate = {"allow": {"CM108": "the role of the reporting service"}}\n'


def test_F61_what_is_meant_is_left_out_of_the_dry_run_and_done_on_the_target(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "postgresql"), SYNC + PLAIN)
    role = f"cim_{zoo.url.database}"
    zoo.revision("r3", "r2", f'op.execute("CREATE ROLE {role}")\nop.execute("CREATE TABLE kept (id int)")')
    found = f"select 1 from pg_roles where rolname = '{role}'"
    done = zoo.gate("dry-run", code=1)
    assert 'ci_migrate = {"allow": {"CM108": "..."}}' in " ".join(done.text.split())
    script = tmp_path / "migrations" / "versions" / "r3.py"
    script.write_text(script.read_text() + MEANT)
    try:
        done = zoo.gate("dry-run")
        assert zoo.query(found) == []
        (left,) = [f for f in done.stage("dry-run")["findings"] if f["code"] == "CM108"]
        assert left["acknowledged"] == "the role of the reporting service"
        assert f"CREATE ROLE {role}" in left["message"]
        assert left["line"]
        zoo.gate("run")
        assert zoo.query(found) == [(1,)]
        assert "kept" in zoo.tables
    finally:
        zoo.query(f"drop role if exists {role}")


# --------------------------------------------------------------------------- MySQL and MariaDB


def test_F61_mariadb_what_is_meant_is_done_on_the_target_alone(request, tmp_path):
    zoo = new_zoo(tmp_path, url_of(request, tmp_path, "mysql"), SYNC + PLAIN)
    user = f"cim_{zoo.url.database}"[:32]
    zoo.revision("r3", "r2", f'op.execute("CREATE USER {user}")')
    script = tmp_path / "migrations" / "versions" / "r3.py"
    script.write_text(script.read_text() + MEANT)
    found = f"select 1 from mysql.user where user = '{user}'"
    try:
        zoo.gate("dry-run")
        assert zoo.query(found) == []
        zoo.gate("run")
        assert zoo.query(found) == [(1,)]
    finally:
        zoo.query(f"drop user if exists {user}")


LEAVES_MYSQL = [
    "CREATE USER cim_intruder",
    "create database cim_intruder",
    "/* hello */ DROP SCHEMA -- you\n IF EXISTS cim_intruder",
    "GRANT SELECT ON kept TO somebody",
    "REVOKE ALL ON *.* FROM somebody",
    "SET GLOBAL max_connections = 3",
    "SET PERSIST max_connections = 3",
    "USE shop",
    "FLUSH TABLES WITH READ LOCK",
    "KILL 3",
    "ALTER DATABASE shop CHARACTER SET latin1",
    "SELECT * FROM users INTO OUTFILE '/tmp/x'",
    "INSERT INTO shop.users VALUES (1)",
    "UPDATE `shop`.`users` SET name = 'x'",
    "DROP TABLE users, shop.users",
    "ALTER TABLE users RENAME TO shop.users",
    "CREATE TABLE x LIKE SHOP.users",
    "DELETE FROM users WHERE id IN (SELECT id FROM shop . users)",
    "INSERT INTO users SELECT * FROM shop.shop",
    "SELECT 1; INSERT INTO mysql.user VALUES (1)",
    "/*!50000 CREATE USER cim_intruder */",
    "SET @a = 1, GLOBAL max_connections = 3",
    "CREATE PROCEDURE p() BEGIN INSERT INTO shop.users VALUES (1); END",
]
STAYS_MYSQL = [
    "CREATE TABLE databases_of_users (user text, grant_id int)",
    "INSERT INTO users VALUES ('DROP DATABASE shop; shop.users')",
    "ALTER DATABASE CHARACTER SET utf8mb4",
    "UPDATE users SET name = 'x' -- of shop.users",
    "SELECT shop.id, shop.name FROM shop JOIN users ON users.shop_id = shop.id",
    "UPDATE users u JOIN shop ON shop.id = u.shop_id SET u.name = shop.name",
    "SELECT ci_copy.users.id FROM ci_copy.users",
    "SET SESSION sql_mode = ''",
    "SET foreign_key_checks = 0",
    "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.name = 'x'",
    "CREATE TABLE shops (workshop decimal(3.2))",
    'INSERT INTO users VALUES ("https://shop.example.org/")',
    "INSERT INTO users VALUES ('it\\'s at shop.example.org')",
    "INSERT INTO users VALUES (1) # shop.users",
    "ALTER DATABASE ci_copy CHARACTER SET utf8mb4",
    "USE ci_copy",
]


@pytest.mark.parametrize("sql", LEAVES_MYSQL)
def test_mysql_statements_that_leave_the_database(sql):
    assert leaves_mysql(sql, "ci_copy", OTHERS, MYSQL)


@pytest.mark.parametrize("sql", STAYS_MYSQL)
def test_mysql_statements_that_stay_in_it(sql):
    assert not leaves_mysql(sql, "ci_copy", OTHERS, MYSQL)


def test_mysql_statements_that_leave_the_copy_are_not_sent(request, tmp_path):
    url = url_of(request, tmp_path, "mysql")
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.prepare("create table kept (id text)", "insert into kept values ('a')")
    tries = [s.replace("shop", url.database).replace("SHOP", url.database.upper()) for s in LEAVES_MYSQL]
    reads = "SELECT COUNT(*) FROM information_schema.tables"
    zoo.revision("r3", "r2", that_sends([*tries, reads]))
    before = zoo.snapshot()
    zoo.gate("dry-run")
    seen = outcome(zoo, "dry-run")
    assert seen.pop(reads) == "sent"
    assert not {s: words for s, words in seen.items() if not words.startswith("Refused: ")}
    assert zoo.snapshot() == before

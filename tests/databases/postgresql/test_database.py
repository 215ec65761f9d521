"""PostgreSQL for real, on a server of the test process."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from postgresql_support import ROLES, execute, one, plain, session
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.base import Database
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.tools import decode
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import VersionTable

RICH = (Path(__file__).parents[1] / "rich_postgresql.sql").read_text(encoding="utf-8")
WEIRD = '"we.ird ""q"""."ta:ble\nnew%line"'


def databases(url):
    with session(url.set(database="postgres")) as connection:
        return {row[0] for row in connection.execute("SELECT datname FROM pg_database")}


@pytest.fixture
def rich(postgresql_url):
    execute(postgresql_url, ROLES, RICH)
    return PostgreSQL(postgresql_url)


@pytest.fixture
def database(postgresql_url):
    return PostgreSQL(postgresql_url)


@pytest.fixture
def role(postgresql_server):
    """An ordinary role that may log in, dropped with all that it owns."""
    name = f"role_{os.urandom(4).hex()}"
    execute(postgresql_server.admin_url, f"CREATE ROLE {name} LOGIN PASSWORD 'x'")
    yield name
    for base in databases(postgresql_server.admin_url) - {"template0", "template1"}:
        execute(postgresql_server.url(base), f"DROP OWNED BY {name} CASCADE")
    execute(postgresql_server.admin_url, f"DROP ROLE {name}")


# --------------------------------------------------------------------------- what it is


def test_it_is_a_database(database, postgresql_url):
    assert isinstance(database, Database)
    identity = database.identity()
    assert identity.facts["database"] == postgresql_url.database
    assert identity.facts["oid"] == str(
        one(postgresql_url, "SELECT oid FROM pg_database WHERE datname = current_database()")
    )
    assert identity.facts["system_identifier"].isdigit()
    assert identity.place == f"127.0.0.1:{postgresql_url.port}/{postgresql_url.database}"
    assert database.size() > 1_000_000
    wall = database.wall()
    assert wall.connect["password"] == postgresql_url.password
    assert wall.match["port"] == str(postgresql_url.port)
    assert wall.identity["oid"] == identity.facts["oid"]
    assert (
        postgresql_url.password
        not in f"{database!r} {wall!r} {identity!r} {database._access!r} {database.engine()!r}"
    )


def test_sessions_are_set_by_connection_options(postgresql_url):
    url = postgresql_url.update_query_dict({"options": "-c search_path=elsewhere"})
    database = PostgreSQL(url, application_name="ci-migrate/r1", lock_timeout=1.5, statement_timeout=7)
    engine = database.engine(read_only=True)
    with engine.connect() as connection:
        connection.execute(text("RESET ALL"))
        show = {n: connection.execute(text(f"SHOW {n}")).scalar() for n in (
            "search_path", "lock_timeout", "statement_timeout", "application_name", "default_transaction_read_only")}  # fmt: skip
        assert show == {
            "search_path": "elsewhere",
            "lock_timeout": "1500ms",
            "statement_timeout": "7s",
            "application_name": "ci-migrate/r1",
            "default_transaction_read_only": "on",
        }
        with pytest.raises(DBAPIError) as raised:
            connection.execute(text("CREATE TABLE t (a int)"))
    assert (
        database.explain(raised.value)
        == "cannot execute CREATE TABLE in a read-only transaction (SQLSTATE 25006)"
    )


# --------------------------------------------------------------------------- schema


def test_schema_does_not_depend_on_session_or_order_of_columns(postgresql_url):
    execute(postgresql_url, "CREATE TABLE t (a int DEFAULT 1, b timestamptz DEFAULT '2026-01-01 00:00+00')")
    before = PostgreSQL(postgresql_url).schema()
    assert before["column public.t.b"].endswith("default '2026-01-01 00:00:00+00'::timestamp with time zone")
    options = "-c search_path=public -c timezone=Asia/Tokyo -c datestyle=German -c quote_all_identifiers=on"
    assert PostgreSQL(postgresql_url.update_query_dict({"options": options})).schema() == before
    execute(postgresql_url, "ALTER TABLE t DROP COLUMN a", "ALTER TABLE t ADD COLUMN a int DEFAULT 1")
    assert PostgreSQL(postgresql_url).schema() == before


def test_schema_marks_an_index_that_a_failed_concurrent_build_left(database, postgresql_url):
    execute(postgresql_url, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        execute(postgresql_url, "CREATE UNIQUE INDEX CONCURRENTLY ix ON t (a)")
    assert database.schema()["index public.ix"].endswith("INVALID")


def test_a_schema_of_a_thousand_tables_is_read_in_two_seconds(database, postgresql_url):
    execute(
        postgresql_url,
        "DO $$ BEGIN FOR i IN 1..1000 LOOP"
        " EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a int, b text DEFAULT ''x'', c int CHECK (c > 0))', i);"
        " IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$",
    )
    started = time.perf_counter()
    assert len(database.schema()) > 8000
    assert time.perf_counter() - started < 2
    assert len(database.counts()) == 1000


def test_a_role_without_rights_is_told_which_one_is_missing(postgresql_url, role):
    execute(postgresql_url, "CREATE TABLE t (a int)")
    poor = PostgreSQL(postgresql_url.set(username=role, password="x"))
    assert "table public.t" in poor.schema()  # the catalog is open to all
    with pytest.raises(DatabaseError, match="permission denied for table t") as raised:
        poor.counts()
    assert role in raised.value.hint


# --------------------------------------------------------------------------- rows


def test_counts_of_leaf_tables(rich):
    counts = {name: count.rows for name, count in rich.counts().items()}
    assert counts == {
        WEIRD: 2, "public.child": 1, "public.no_columns": 0, "public.parent": 1, "shop.cache": 0,
        "shop.events_2025": 21, "shop.events_rest": 19, "shop.orders": 50, "shop.users": 100,
    }  # fmt: skip
    assert all(f"table {name}" in rich.schema() for name in counts)
    assert list(rich.counts(["shop.users", "shop.gone"])) == ["shop.users"]


def test_counts_of_big_tables_are_estimates_unless_exact_ones_are_asked_for(rich, postgresql_url):
    execute(postgresql_url, "UPDATE pg_class SET reltuples = 5000000 WHERE relname = 'users'")
    assert rich.counts()["shop.users"].rows == 5_000_000
    assert not rich.counts()["shop.users"].exact
    assert rich.counts(exact=True)["shop.users"].rows == 100


def test_contents_do_not_depend_on_settings_of_the_session(rich, postgresql_url):
    options = "-c timezone=Asia/Tokyo -c datestyle=German -c bytea_output=escape -c extra_float_digits=-5"
    other = PostgreSQL(postgresql_url.update_query_dict({"options": options}))
    tables = [*rich.counts(), "shop.events"]
    found = rich.contents(tables)
    assert other.contents(tables) == found
    assert found["shop.events"].rows == 40
    assert found[WEIRD].columns["🐘 %s"].values == 2


def test_heads(postgresql_url):
    execute(
        postgresql_url,
        "CREATE SCHEMA tenant", 'CREATE TABLE alembic_version ("version_num" text)',
        "CREATE TABLE tenant.alembic_version (version_num text)", 'CREATE TABLE tenant."Odd name" (version_num text)',
        "INSERT INTO alembic_version VALUES ('b'), ('a')", "INSERT INTO tenant.alembic_version VALUES ('t')",
        """INSERT INTO tenant."Odd name" VALUES ('o')""",
    )  # fmt: skip
    tables = [
        VersionTable(),
        VersionTable(schema="tenant"),
        VersionTable(search_path="tenant"),
        VersionTable(name="Odd name", schema="tenant"),
        VersionTable(name="missing"),
        VersionTable(schema="missing"),
    ]
    expected = (("a", "b"), ("t",), ("t",), ("o",), (), ())
    assert PostgreSQL(postgresql_url).heads(tables) == expected
    in_tenant = PostgreSQL(postgresql_url.update_query_dict({"options": "-c search_path=tenant"}))
    assert in_tenant.heads([VersionTable()]) == (("t",),)


def test_sessions_of(database, postgresql_url):
    with session(postgresql_url, application_name="ci-migrate/r9") as connection:
        connection.execute("SELECT %s::text, 'x'", ["canary"])
        (words,) = database.sessions_of("ci-migrate/r9")
        assert (
            f"pid {connection.info.backend_pid}, ci-migrate/r9, user postgres, idle for 0 s: SELECT" in words
        )
        assert "canary" not in words
    assert database.sessions_of("ci-migrate/r8") == []


# --------------------------------------------------------------------------- copies


def test_a_copy_holds_everything(rich, postgresql_url, payload, tmp_path):
    execute(postgresql_url, "SELECT setval('shop.ticket', 250)")
    dumped = rich.dump(payload, [VersionTable()])
    assert dumped.schema == rich.schema()
    assert dumped.row_counts == rich.counts()
    assert dumped.heads == ((),)
    assert dumped.engine_version.startswith("PostgreSQL 1")
    assert dumped.tool_version.startswith("pg_dump 1")
    decode(payload)
    with rich.scratch("r1", tmp_path) as copy:
        assert copy.url.database == "ci_migrate_scratch_r1"
        copy.load(payload)
        assert copy.contents(rich.counts()) == rich.contents(rich.counts())
        assert one(copy.url, "SELECT nextval('shop.ticket')") == one(
            postgresql_url, "SELECT nextval('shop.ticket')"
        )
        assert one(copy.url, "SELECT lo_get(oid) FROM pg_largeobject_metadata") == b"\x12\x34"
        assert one(copy.url, "SELECT count(*) FROM pg_user_mapping") == 0
        assert one(copy.url, "SELECT count(*) FROM pg_foreign_server") == 1
        # texts that the server deparses anew may differ, and nothing else
        target, restored = rich.schema(), copy.schema()
        assert target.keys() == restored.keys()
        differing = {name for name in target if target[name] != restored[name]}
        assert differing <= {
            "constraint shop.users.users_state_check", "index shop.users_lower", "view shop.active"
        }  # fmt: skip
        assert differing, "the fixture no longer shows that texts differ"
    assert "ci_migrate_scratch_r1" not in databases(postgresql_url)


def test_a_dump_is_of_one_moment(database, postgresql_url, payload, tmp_path):
    """Rows that are written while pg_dump runs are neither in the dump nor in its counts."""
    execute(postgresql_url, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)")
    written = []

    def write(_done, _total):
        if not written:
            execute(postgresql_url, "INSERT INTO t VALUES (2)")
            written.append(True)

    dumped = database.dump(payload, [], write)
    assert written
    assert dumped.row_counts["public.t"].rows == 1
    with database.scratch("r2", tmp_path) as copy:
        copy.load(payload)
        assert copy.counts()["public.t"].rows == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "about"])
def test_V1_V2_a_damaged_dump_is_found(rich, payload, tmp_path, damage):
    rich.dump(payload, [])
    files = sorted(payload.glob("dump/*.dat*"), key=lambda p: p.stat().st_size)
    file = next(f for f in reversed(files) if f.name != "toc.dat")
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
        file.write_bytes(data)
    elif damage == "truncate":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "remove":
        file.unlink()
    else:
        (payload / "about.json").write_text("{")
    with pytest.raises(BackupError, match="damaged"):
        decode(payload)
    with rich.scratch("r3", tmp_path) as copy, pytest.raises(BackupError):
        copy.load(payload)


def test_B12_a_locked_table_stops_the_dump_in_time(postgresql_url, payload):
    execute(postgresql_url, "CREATE TABLE t (a int)")
    database = PostgreSQL(postgresql_url, lock_timeout=0.5)
    with session(postgresql_url) as other, other.transaction():
        other.execute("LOCK TABLE t")
        started = time.monotonic()
        with pytest.raises(BackupError, match="pg_dump failed") as raised:
            database.dump(payload, [])
        assert time.monotonic() - started < 4
    assert "bytes are free" in raised.value.hint


@contextmanager
def dump_that_waits(url, payload):
    """A dump in a thread that waits for a lock until the block ends."""
    execute(url, "CREATE TABLE t (a int)")
    failures = []

    def dump():
        try:
            PostgreSQL(url, application_name="ci-migrate/waits", lock_timeout=60).dump(payload, [])
        except BackupError as error:
            failures.append(error)

    thread = threading.Thread(target=dump)
    with session(url) as other, other.transaction():
        other.execute("LOCK TABLE t")
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ci-migrate/waits' AND wait_event_type = 'Lock'"
        deadline = time.monotonic() + 10
        while not one(url, waiting):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield failures
    thread.join(30)
    assert not thread.is_alive()


def test_B18_a_connection_that_is_cut_fails_the_dump(postgresql_url, payload):
    with dump_that_waits(postgresql_url, payload) as failures:
        execute(
            postgresql_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'ci-migrate/waits' AND wait_event_type = 'Lock'",
        )
    assert "pg_dump failed" in failures[0].what


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_S3_the_password_is_in_no_argument_and_no_environment(postgresql_url, payload):
    secret = postgresql_url.password.encode()
    with dump_that_waits(postgresql_url, payload) as failures:
        children = [p for p in Path("/proc").iterdir() if p.name.isdigit() and _parent(p) == os.getpid()]
        seen = [_shown(p) for p in children]
        (dump,) = [text for text in seen if b"pg_dump" in text]
        assert secret not in b"".join(seen)
        file = Path(dump.split(b"PGPASSFILE=")[1].split(b"\0")[0].decode())
        assert str(file).startswith("/proc/self/fd/")  # in memory: no kill can leave it behind
    assert failures == []


def _shown(process):
    """Arguments and environment, as anybody may read them; nothing of a process that has just ended."""
    try:
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    except OSError:
        return b""


def _parent(process):
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def test_B3_a_file_size_limit_fails_the_dump(postgresql_url, payload):
    execute(
        postgresql_url, "CREATE TABLE t AS SELECT gen_random_uuid()::text AS a FROM generate_series(1, 20000)"
    )
    program = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        from pathlib import Path
        from sqlalchemy import make_url
        from ci_migrate.databases.postgresql.database import PostgreSQL
        from ci_migrate.errors import BackupError
        try:
            PostgreSQL(make_url(input())).dump(Path({str(payload)!r}), [])
        except BackupError as error:
            print(error.what)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        input=plain(postgresql_url), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("pg_dump "), done


# --------------------------------------------------------------------------- scratch copies


def test_a_scratch_copy_is_like_its_database_and_closed_to_others(postgresql_server, tmp_path, role):
    admin = postgresql_server.admin_url
    name = f"odd_{os.urandom(4).hex()}"
    execute(
        admin,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'",
        f"""ALTER DATABASE {name} SET search_path = "$user", 'odd "schema"', public""",
        f"ALTER DATABASE {name} SET app.tenant = 'a, ''b'''",
        f"ALTER ROLE {role} IN DATABASE {name} SET work_mem = '12MB'",
    )
    database = PostgreSQL(postgresql_server.url(name))
    try:
        with database.scratch("r4", tmp_path) as copy:
            facts = "SELECT (encoding, datcollate, datctype)::text FROM pg_database WHERE datname = current_database()"
            settings = (
                "SELECT string_agg(setrole::text || setconfig::text, ';' ORDER BY setrole) FROM pg_db_role_setting s"
                " JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()"
            )
            assert one(copy.url, facts) == one(database.url, facts)
            assert one(copy.url, settings) == one(database.url, settings)
            assert one(copy.url, "SHOW search_path") == one(database.url, "SHOW search_path")
            with pytest.raises(DatabaseError, match="permission denied"):
                PostgreSQL(copy.url.set(username=role, password="x")).ping()
    finally:
        execute(admin, f"DROP DATABASE {name}")


def test_a_role_that_may_not_create_databases_is_told_so(postgresql_url, role, tmp_path):
    poor = PostgreSQL(postgresql_url.set(username=role, password="x"))
    with (
        pytest.raises(DatabaseError, match="may not make the database") as raised,
        poor.scratch("r5", tmp_path),
    ):
        pass
    assert f"ALTER ROLE {role} CREATEDB" in raised.value.hint
    assert raised.value.state == "The database was not touched."


def test_an_ordinary_role_restores_what_belongs_to_others(
    postgresql_server, postgresql_url, role, payload, tmp_path
):
    execute(
        postgresql_server.admin_url, ROLES, f"ALTER ROLE {role} CREATEDB",
        f"GRANT pg_read_all_data TO {role}",
    )  # fmt: skip
    execute(
        postgresql_url, "CREATE TABLE t (a int)", "INSERT INTO t VALUES (1)", "ALTER TABLE t OWNER TO rich_owner",
        "GRANT SELECT ON t TO rich_reader", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO rich_reader",
    )  # fmt: skip
    ordinary = PostgreSQL(postgresql_url.set(username=role, password="x"))
    ordinary.dump(payload, [])
    with ordinary.scratch("r6", tmp_path) as copy:
        copy.load(payload)
        assert copy.counts()["public.t"].rows == 1
        assert copy.schema()["owner table public.t"] == role
        assert copy.schema()["grant table public.t to rich_reader"] == "SELECT"
    # a restore in place keeps all owners, or does not begin
    with pytest.raises(DatabaseError, match="may not make the database") as refused:
        ordinary.replace(payload, lambda _: None, "x")
    assert refused.value.hint.startswith(f"GRANT postgres TO {role};")
    execute(postgresql_server.admin_url, f"ALTER DATABASE {postgresql_url.database} OWNER TO {role}")
    with pytest.raises(BackupError, match="can't restore what belongs to rich_owner"):
        ordinary.replace(payload, lambda _: None, "x")
    execute(postgresql_server.admin_url, f"ALTER DATABASE {postgresql_url.database} OWNER TO postgres")


def test_B7_what_killed_runs_left_is_swept(database, postgresql_url, tmp_path):
    program = """
        import sys, time
        from pathlib import Path
        from sqlalchemy import make_url
        from ci_migrate.databases.postgresql.database import PostgreSQL
        with PostgreSQL(make_url(input())).scratch("killed", Path()):
            print("ready", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        child.stdin.write(plain(postgresql_url) + "\n")
        child.stdin.flush()
        assert child.stdout.readline() == "ready\n"
        assert database.sweep() == []  # it is in use
        child.send_signal(signal.SIGKILL)
    assert "ci_migrate_scratch_killed" in databases(postgresql_url)
    assert database.sweep(keep=["killed"]) == []
    deadline = time.monotonic() + 5
    while not (swept := database.sweep()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert swept == ["ci_migrate_scratch_killed"]
    assert "ci_migrate_scratch_killed" not in databases(postgresql_url)


# --------------------------------------------------------------------------- replace


@pytest.fixture
def replaceable(rich, postgresql_server, payload):
    """A rich database with a dump of it, changed since; what a swap left is dropped."""
    execute(rich.url, "DROP SCHEMA ci_migrate CASCADE")
    rich.dump(payload, [])
    execute(rich.url, "DELETE FROM shop.orders", "CREATE TABLE left_by_a_failed_migration (a int)")
    yield rich
    for name in databases(rich.url):
        if name.startswith(rich.url.database):
            execute(postgresql_server.admin_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def test_V9_V13_a_restore_takes_the_place_of_the_database(replaceable, postgresql_server, payload):
    name, admin = replaceable.url.database, postgresql_server.admin_url
    execute(
        admin,
        f"ALTER DATABASE {name} OWNER TO rich_owner", f"ALTER DATABASE {name} SET work_mem = '7MB'",
        f"ALTER DATABASE {name} CONNECTION LIMIT 33", f"COMMENT ON DATABASE {name} IS 'it''s mine'",
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC", f"GRANT CONNECT ON DATABASE {name} TO rich_reader WITH GRANT OPTION",
        f"ALTER ROLE rich_reader IN DATABASE {name} SET statement_timeout = '3s'",
    )  # fmt: skip
    facts = (
        "SELECT (datdba::regrole, datconnlimit, datallowconn, encoding, datcollate, shobj_description(oid, 'pg_database'),"
        " (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),"
        " (SELECT array_agg(setrole::text || setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)"
        ")::text FROM pg_database d WHERE datname = %s"
    )
    before = one(admin, facts, name)
    seen = []
    with psycopg.connect(plain(replaceable.url)) as user:  # a session that holds a transaction open
        user.execute("SELECT * FROM shop.users")
        with replaceable.lock("run", 0):
            words = replaceable.replace(payload, lambda new: seen.append(new.counts()), "20260101_run")
        with pytest.raises(psycopg.OperationalError):
            user.execute("SELECT 1")
    assert seen[0]["shop.orders"].rows == 50
    assert f"{name}_before_20260101_run" in words
    assert one(admin, facts, name) == before
    assert replaceable.counts() == seen[0]
    assert "table public.left_by_a_failed_migration" not in replaceable.schema()
    assert one(replaceable.url, "SELECT count(*) FROM pg_user_mapping") == 1
    kept = replaceable.url.set(database=f"{name}_before_20260101_run")
    assert "table public.left_by_a_failed_migration" in PostgreSQL(kept).schema()


def test_a_restore_takes_the_place_of_a_database_that_applications_hammer(replaceable, payload):
    """Each of them connects again as soon as it is thrown out, as pools do."""
    stop, answers = threading.Event(), []

    def hammer():
        while not stop.is_set():
            try:
                with psycopg.connect(plain(replaceable.url)) as connection:
                    while not stop.wait(0.005):
                        answers.append(connection.execute("SELECT count(*) FROM shop.orders").fetchone()[0])
            except psycopg.Error:
                pass

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        replaceable.replace(payload, lambda _: None, "x")
        deadline = time.monotonic() + 10
        while 50 not in answers[-4:]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {0, 50}


def test_M16_a_swap_that_fails_half_way_leaves_the_original(replaceable, payload):
    """The second rename fails (a prepared transaction holds the restored copy): the first is rolled back."""
    before = replaceable.counts()

    def hold(new):
        with psycopg.connect(plain(new.url)) as connection:
            connection.execute("CREATE TABLE held (a int)")
            connection.execute("PREPARE TRANSACTION 'holds'")

    with pytest.raises(DatabaseError, match="accessed by other users"):
        replaceable.replace(payload, hold, "x")
    assert replaceable.counts() == before
    new = f"{replaceable.url.database}_ci_migrate_new_x"
    assert new in databases(replaceable.url)
    execute(replaceable.url.set(database=new), "ROLLBACK PREPARED 'holds'")
    assert replaceable.sweep() == [new]


def test_V10_a_restore_that_is_killed_leaves_the_original(replaceable, payload):
    before = replaceable.counts()
    program = f"""
        import os, signal
        from pathlib import Path
        from sqlalchemy import make_url
        from ci_migrate.databases.postgresql.database import PostgreSQL
        PostgreSQL(make_url(input())).replace(Path({str(payload)!r}), lambda _: os.kill(os.getpid(), 9), "x")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], input=plain(replaceable.url), text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert replaceable.counts() == before
    deadline = time.monotonic() + 5
    while replaceable.sweep() != [f"{replaceable.url.database}_ci_migrate_new_x"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    replaceable.replace(payload, lambda _: None, "x")
    assert replaceable.counts()["shop.orders"].rows == 50


def test_a_database_that_cannot_be_renamed_is_not_restored_at_all(rich, postgresql_url, payload):
    rich.dump(payload, [])
    with pytest.raises(DatabaseError, match="the ledger lives in it"):
        rich.replace(payload, lambda _: pytest.fail("restored"), "x")
    execute(postgresql_url, "DROP SCHEMA ci_migrate CASCADE")
    slot = f"slot_{os.urandom(4).hex()}"
    execute(postgresql_url, f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    try:
        with pytest.raises(DatabaseError, match="logical replication slots"):
            rich.replace(payload, lambda _: pytest.fail("restored"), "x")
    finally:
        execute(postgresql_url, f"SELECT pg_drop_replication_slot('{slot}')")


def test_long_names_are_shortened_not_cut(postgresql_server, payload):
    name = "n" * 60
    admin = postgresql_server.admin_url
    execute(admin, f"CREATE DATABASE {name}")
    database = PostgreSQL(postgresql_server.url(name))
    try:
        database.dump(payload, [])
        kept = database.replace(payload, lambda _: None, "20260101_120000").split('"')[1]
        assert kept.endswith("_before_20260101_120000")
        assert len(kept) == 63
        assert {name, kept} <= databases(admin)
    finally:
        for left in databases(admin):
            if left.startswith("nnn"):
                execute(admin, f"DROP DATABASE {left}")


def test_any_driver_of_postgresql_will_do(postgresql_url):
    for driver in ("postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "postgresql+pg8000"):
        url = postgresql_url.set(drivername=driver).update_query_dict({"prepared_statement_cache_size": "5"})
        assert PostgreSQL(url).identity().facts["database"] == postgresql_url.database


def test_a_socket_will_do(postgresql_server, payload):
    url = make_url(
        f"postgresql://postgres@/postgres?host={postgresql_server.sockets}&port={postgresql_server.port}"
    )
    database = PostgreSQL(url)
    assert database.identity().place == f"socket:{postgresql_server.port}/postgres"
    database.dump(payload, [])

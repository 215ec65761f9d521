import os
import sqlite3
import stat
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from ledger_support import an_entry, finish, make_tables, run_sql, start_process
from sqlalchemy import create_engine, inspect, make_url

from ci_migrate.databases.base import SessionOptions
from ci_migrate.errors import LedgerError
from ci_migrate.ledger import audit, connect_mysql, protection
from ci_migrate.ledger.connect import MIGRATIONS, open_engine
from ci_migrate.ledger.ledger import ledger_url, open_ledger
from ci_migrate.ledger.tables import LEDGER_REVISION, VERSION_TABLE, metadata, version_table
from ci_migrate.plugins.manager import create_manager, make_database

OPEN = "from ci_migrate.ledger.ledger import open_ledger\nledger = open_ledger(url, create=True)\n"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request, tmp_path):
    """Where the ledger of a target belongs that has none yet, on each engine."""
    if request.param == "sqlite":
        return ledger_url(make_url(f"sqlite:///{tmp_path}/app.db"), None)
    if request.param == "mariadb":
        return ledger_url(request.getfixturevalue("mysql_url"), None)
    return ledger_url(request.getfixturevalue("postgresql"), None)


def scripts() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


def test_the_revision_known_without_alembic_is_the_head_of_the_scripts():
    assert scripts().get_heads() == [LEDGER_REVISION]


def test_revision_ids_sort_as_they_follow_each_other():
    ids = [script.revision for script in scripts().walk_revisions()]
    assert ids == sorted(ids, reverse=True)
    assert all(len(name) == 4 for name in ids)


def look_at(url):
    """Everything in a ledger: the schema as the engine tells it, and all rows but the ledger's own id."""
    database = make_database(create_manager((), Path()), url, SessionOptions())
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = {
            name: connection.execute(table.select()).mappings().all()
            for name, table in {**metadata.tables, VERSION_TABLE: version_table}.items()
        }
    engine.dispose()
    rows["ci_migrate_identity"] = [{**row, "uuid": ""} for row in rows["ci_migrate_identity"]]
    return database.schema(), rows


def test_a_new_ledger_is_what_the_revisions_make(url):
    open_ledger(url, create=True).close()
    made = look_at(url)
    assert made[0]
    engine = create_engine(url)
    with engine.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []
        metadata.drop_all(connection)
        version_table.drop(connection)
    with engine.begin() as connection:
        make_tables(connection, "head")
    engine.dispose()
    assert look_at(url) == made


def test_what_only_reads_makes_no_ledger(url, tmp_path):
    assert open_ledger(url, create=False) is None
    assert list(tmp_path.iterdir()) == []
    assert open_ledger(url, create=False) is None


def test_it_is_made_once_and_found_again(url):
    with open_ledger(url, create=True) as made:
        uuid = made.uuid
    with open_ledger(url, create=False) as found:
        assert found.uuid == uuid
    with open_ledger(url, create=True) as again:
        assert again.uuid == uuid


def test_opening_one_that_is_there_does_not_import_alembic(url):
    open_ledger(url, create=True).close()
    said = finish([start_process(url, OPEN + "print(ledger.uuid, 'alembic' in sys.modules)")])
    assert said[0].split()[1] == "False"


def test_eight_processes_open_a_fresh_ledger_at_once(url):
    wait = "print('ready', flush=True); sys.stdin.readline()\n"
    code = "from ci_migrate.ledger.ledger import open_ledger\n" + wait
    code += "ledger = open_ledger(url, create=True); ledger.audit('opened'); print(ledger.uuid)"
    processes = [start_process(url, code) for _ in range(8)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    uuids = set(finish(processes))
    assert len(uuids) == 1
    with open_ledger(url, create=False) as ledger:
        assert ledger.verify_audit() == []
        assert len(ledger.audit_records()) == 8


@pytest.mark.parametrize("create", [True, False])
def test_one_of_a_newer_version_is_refused_and_left_alone(url, tamper, create):
    open_ledger(url, create=True).close()
    tamper(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(LedgerError, match="made by a newer ci-migrate") as caught:
        open_ledger(url, create=create)
    assert "Upgrade" in caught.value.hint
    assert tamper(f"SELECT version_num FROM {VERSION_TABLE}") == [("9999",)]


def test_no_error_and_no_repr_shows_the_password(url):
    with open_ledger(url, create=True) as ledger:
        assert "password" not in repr(ledger)
        assert ":@" not in ledger.place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://127.0.0.1/x?sslmode=nonsense", "sslmode value"),
        ("postgresql+psycopg://127.0.0.1/x?connect_timeout=soon", "connect_timeout"),
        ("mysql+pymysql://127.0.0.1/x?ssl_ca=/nowhere", "No such file or directory"),
        ("mysql+pymysql://127.0.0.1/x?connect_timeout=soon", "can't be used"),
        ("postgresql+nonsense://127.0.0.1/x", "can't be used"),
    ],
)
@pytest.mark.parametrize("create", [True, False])
def test_what_a_driver_refuses_is_told_and_no_traceback(url, words, create):
    with pytest.raises(LedgerError) as caught:
        open_engine(make_url(url), create=create)
    assert "(127.0.0.1:" in caught.value.what
    assert words in caught.value.what
    assert "`state" in caught.value.hint


def test_a_driver_that_is_not_installed_is_named_with_what_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match="driver that is not installed: psycopg") as caught:
        open_engine(make_url("postgresql+psycopg://h/x"), create=True)
    assert caught.value.hint == "pip install 'ci-migrate[postgresql]'"


def test_what_the_url_says_wins_over_what_is_usual(postgresql_url, mysql_url):
    """`connect_timeout` of somebody whose server is far away."""
    named = make_url(postgresql_url).set(drivername="postgresql+psycopg")
    named = named.update_query_dict({"application_name": "mine"})
    with open_ledger(named, create=True) as ledger, ledger.reading() as connection:
        assert connection.exec_driver_sql("SHOW application_name").scalar_one() == "mine"
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "10s"
    assert connect_mysql.arguments(make_url("mysql://h/x?connect_timeout=60"), 10).keys() == {
        "program_name", "init_command",
    }  # fmt: skip
    assert connect_mysql.arguments(make_url("mysql://h/x"), 10)["connect_timeout"] == 10
    with open_ledger(ledger_url(mysql_url, None), create=True) as ledger, ledger.reading() as connection:
        for variable in ("lock_wait_timeout", "innodb_lock_wait_timeout"):
            assert connection.exec_driver_sql(f"SELECT @@SESSION.{variable}").scalar_one() == 10


@pytest.mark.parametrize("revision", [f"000{n}" for n in range(1, int(LEDGER_REVISION))])
def test_every_older_version_is_brought_to_ours(tmp_path, revision):
    """From each version that was ever released in between, and by a command that only reads."""
    url = sqlite_url(tmp_path)
    engine = create_engine(url)
    with engine.begin() as connection:
        make_tables(connection, revision)
        uuid = connection.exec_driver_sql("SELECT uuid FROM ci_migrate_identity").scalar_one()
    engine.dispose()
    with open_ledger(url, create=False) as ledger:
        assert ledger.uuid == uuid
        assert ledger.verify_audit() == []
    upgraded = look_at(url)
    for path in tmp_path.iterdir():
        path.unlink()
    open_ledger(url, create=True).close()
    assert look_at(url) == upgraded, "and is what a new one is"


# --------------------------------------------------------------------------- MySQL and MariaDB


def test_mysql_tables_without_a_version_are_made_anew(mysql_url):
    url = ledger_url(mysql_url, None)
    open_ledger(url, create=True).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
        connection.exec_driver_sql("DROP TABLE ci_migrate_audit_head")
    engine.dispose()
    with open_ledger(url, create=True) as ledger:
        ledger.audit("something")
        assert ledger.verify_audit() == []


def test_mysql_whoever_makes_it_next_sees_that_it_is_made(mysql_url):
    """The lock under which tables are made is only given back when their version can be seen by others."""
    url = ledger_url(mysql_url, None)
    open_ledger(url, create=True).close()
    engine, other = create_engine(url), create_engine(url)
    with connect_mysql.lock_making(engine, 5) as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '0000'")
        with pytest.raises(LedgerError, match="Another process"):
            connect_mysql.lock_making(other, 0).__enter__()
    with connect_mysql.lock_making(other, 5) as connection:
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    assert found == "0000"
    engine.dispose()
    other.dispose()


def test_mysql_a_used_ledger_without_a_version_is_refused_and_kept(mysql_url, tamper_with):
    url = ledger_url(mysql_url, None)
    with open_ledger(url, create=True) as ledger:
        ledger.audit("something")
    tamper_with(url, f"DELETE FROM {VERSION_TABLE}")
    with pytest.raises(LedgerError, match="has records"):
        open_ledger(url, create=True)
    tamper_with(url, f"INSERT INTO {VERSION_TABLE} VALUES ('{LEDGER_REVISION}')")
    with open_ledger(url, create=False) as ledger:
        assert len(ledger.audit_records()) == 1


def test_mysql_an_account_that_may_not_create_it_is_told_the_grant(mysql_url, tamper_with):
    tamper_with(
        mysql_url,
        "CREATE USER small@'127.0.0.1' IDENTIFIED BY 'x'",
        f"GRANT ALL ON {mysql_url.database}.* TO small@'127.0.0.1'",
    )
    try:
        small = mysql_url.set(username="small", password="x")
        assert open_ledger(ledger_url(small, None), create=False) is None
        with pytest.raises(LedgerError, match="may not create") as caught:
            open_ledger(ledger_url(small, None), create=True)
        assert f"GRANT ALL ON `{mysql_url.database}_ci_migrate`.* TO 'small'@'127.0.0.1'" in caught.value.hint
    finally:
        tamper_with(mysql_url, "DROP USER small@'127.0.0.1'")


@pytest.fixture
def tamper_with():
    def run(url, *statements):
        engine = create_engine(url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    return run


# --------------------------------------------------------------------------- SQLite


def sqlite_url(folder: Path):
    return ledger_url(make_url(f"sqlite:///{folder}/app.db"), None)


def test_sqlite_files_are_for_their_owner_only(tmp_path):
    before = os.umask(0)
    try:
        ledger = open_ledger(sqlite_url(tmp_path), create=True)
        ledger.audit("something")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["app.db.ci-migrate"] == 0o600
    assert "app.db.ci-migrate-wal" in modes
    assert set(modes.values()) == {0o600}
    ledger.close()


def test_sqlite_uses_a_wal_and_waits_for_locks(tmp_path):
    with open_ledger(sqlite_url(tmp_path), create=True) as ledger, ledger.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


@pytest.mark.parametrize("name", ["with space.db", "per%41cent.db", "quest?ion.db", "hash#.db", "emo🚚ji.db"])
def test_sqlite_files_with_odd_names(tmp_path, name):
    url = ledger_url(make_url("sqlite://").set(database=str(tmp_path / name)), None)
    with open_ledger(url, create=True) as ledger:
        ledger.audit("something")
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.ci-migrate"]


def test_sqlite_a_making_that_was_cut_short_is_taken_up(tmp_path):
    url = sqlite_url(tmp_path)
    Path(url.database).touch()
    assert open_ledger(url, create=False) is None
    with open_ledger(url, create=True) as ledger:
        assert ledger.uuid


def test_sqlite_it_waits_for_another_process_that_makes_it(tmp_path):
    url = sqlite_url(tmp_path)
    Path(url.database).touch()
    other = sqlite3.connect(url.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # for this lock SQLite refuses to switch to a WAL without any waiting
    timer = threading.Timer(0.5, other.close)
    timer.start()
    with open_ledger(url, create=True) as ledger:
        assert ledger.uuid
    timer.join()


def test_sqlite_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(LedgerError, match="No such file or directory") as caught:
        open_ledger(sqlite_url(tmp_path / "nowhere"), create=True)
    assert "state" in caught.value.hint
    assert open_ledger(sqlite_url(tmp_path / "nowhere"), create=False) is None


@pytest.mark.parametrize("create", [True, False])
def test_sqlite_a_file_that_is_no_database(tmp_path, create):
    url = sqlite_url(tmp_path)
    Path(url.database).write_text("precious notes\n" * 100)
    with pytest.raises(LedgerError, match="not a database"):
        open_ledger(url, create=create)
    assert Path(url.database).read_text() == "precious notes\n" * 100


def test_sqlite_a_used_token_survives_a_power_cut(tmp_path):
    """Each commit is synchronized; WAL's own habit is to do that at checkpoints only."""
    with open_ledger(sqlite_url(tmp_path), create=True) as ledger:
        for look in (ledger.reading, ledger.writing):
            with look() as connection:
                assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        with ledger.journal("run-1") as journal:
            journal.append(an_entry(1))
            assert journal._connection.execute("PRAGMA synchronous").fetchone() == (1,), (
                "a kill is enough for it"
            )


def test_sqlite_a_file_that_may_not_be_written_can_be_read(tmp_path):
    """A runner that only plans."""
    url = sqlite_url(tmp_path)
    with open_ledger(url, create=True) as ledger:
        uuid = ledger.uuid
    found = sqlite3.connect(f"file:{url.database}?mode=ro", uri=True)
    assert found.execute("SELECT uuid FROM ci_migrate_identity").fetchone() == (uuid,)
    found.close()


def test_sqlite_a_link_that_leads_nowhere_is_told(tmp_path):
    url = sqlite_url(tmp_path)
    Path(url.database).symlink_to(tmp_path / "gone" / "ledger")
    for create in (True, False):
        with pytest.raises(LedgerError, match="unable to open database file"):
            open_ledger(url, create=create)


def test_sqlite_a_ledger_that_vanished_is_not_replaced_by_an_empty_file(tmp_path):
    url = sqlite_url(tmp_path)
    ledger = open_ledger(url, create=True)
    ledger.close()
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(LedgerError, match="could not be written"):
        ledger.audit("something")
    assert list(tmp_path.iterdir()) == []


def test_sqlite_a_lock_that_stays_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("ci_migrate.ledger.connect.BUSY_TIMEOUT", 0.1)
    url = sqlite_url(tmp_path)
    with open_ledger(url, create=True) as ledger:
        other = sqlite3.connect(url.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match="database is locked"):
            ledger.audit("something")
        other.execute("ROLLBACK")
        ledger.audit("something")
        other.close()


# --------------------------------------------------------------------------- PostgreSQL


@pytest.fixture
def postgresql(postgresql_url):
    """The target's URL; the ledger's database is dropped afterwards."""
    url = make_url(postgresql_url)
    yield url
    run_sql(url, f'DROP DATABASE IF EXISTS "{ledger_url(url, None).database}" WITH (FORCE)')


@pytest.fixture
def role(postgresql):
    """A role that may log in and nothing else, named after the database."""
    name = f"role_{postgresql.database}"
    run_sql(postgresql, f"CREATE ROLE \"{name}\" LOGIN PASSWORD 's3cret'")
    yield name
    run_sql(postgresql, f'DROP DATABASE IF EXISTS "{ledger_url(postgresql, None).database}" WITH (FORCE)')
    run_sql(postgresql, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')


def test_postgresql_a_role_that_may_not_create_databases_gets_the_exact_sql(postgresql, role):
    url = ledger_url(postgresql.set(username=role, password="s3cret"), None)
    with pytest.raises(LedgerError, match="may not create") as caught:
        open_ledger(url, create=True)
    statement = f'CREATE DATABASE "{url.database}" OWNER "{role}";'
    assert statement in caught.value.hint
    assert "state = " in caught.value.hint
    assert "s3cret" not in " ".join(caught.value.lines)
    assert open_ledger(url, create=False) is None

    run_sql(postgresql, statement)
    with open_ledger(url, create=True) as ledger:
        assert ledger.uuid


def test_postgresql_another_role_without_rights_on_the_tables_gets_the_grants(postgresql, role):
    open_ledger(ledger_url(postgresql, None), create=True).close()
    url = ledger_url(postgresql.set(username=role, password="s3cret"), None)
    with pytest.raises(LedgerError, match="permission denied") as caught:
        open_ledger(url, create=False)
    assert f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{role}"' in caught.value.hint
    grants = [g.strip() for g in caught.value.hint.partition(": ")[2].split(";") if "GRANT" in g]
    run_sql(ledger_url(postgresql, None), *grants)
    with open_ledger(url, create=False) as ledger:
        ledger.audit("something")


def test_postgresql_a_role_that_may_not_connect_to_it_gets_the_grant(postgresql, role):
    own = ledger_url(postgresql, None)
    open_ledger(own, create=True).close()
    run_sql(postgresql, f'REVOKE CONNECT ON DATABASE "{own.database}" FROM PUBLIC')
    with pytest.raises(LedgerError) as caught:
        open_ledger(own.set(username=role, password="s3cret"), create=True)
    assert f'GRANT CONNECT ON DATABASE "{own.database}" TO "{role}";' in caught.value.hint


def test_postgresql_the_search_path_of_the_target_does_not_matter(postgresql):
    url = ledger_url(postgresql.update_query_dict({"options": "-csearch_path=tenant_a"}), None)
    open_ledger(url, create=True).close()
    engine = create_engine(url)
    assert inspect(engine).has_table("ci_migrate_runs", schema="public")
    engine.dispose()
    with open_ledger(url, create=False) as ledger:
        assert ledger.uuid


def test_postgresql_a_name_with_odd_characters(postgresql):
    url = ledger_url(postgresql, None).set(database=f'{postgresql.database} "A":b%s_ci_migrate')
    try:
        with open_ledger(url, create=True) as ledger:
            assert ledger.uuid
    finally:
        name = url.database.replace('"', '""').replace("%", "%%")
        run_sql(postgresql, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def test_postgresql_where_nobody_may_enter_the_maintenance_database(postgresql, role):
    run_sql(postgresql, f'ALTER ROLE "{role}" CREATEDB')
    url = ledger_url(postgresql.set(username=role, password="s3cret"), None)
    # A database of that name does not exist, as on servers where `postgres` was dropped.
    closed = url.set(database=f"{postgresql.database}_ci_migrate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ci_migrate.ledger.connect.MAINTENANCE", "dropped_by_the_administrator")
        with open_ledger(closed, create=True) as ledger:
            assert ledger.uuid


@pytest.mark.parametrize("create", [True, False])
def test_postgresql_a_server_that_does_not_answer(create):
    url = ledger_url(make_url("postgresql://ana:s3cret@127.0.0.1:1/shop"), None)
    with pytest.raises(LedgerError) as caught:
        open_ledger(url, create=create)
    assert "127.0.0.1:1/shop_ci_migrate" in caught.value.what
    assert "s3cret" not in " ".join(caught.value.lines)
    assert len(caught.value.lines) == 3


# --------------------------------------------------------------------------- upgrades


@pytest.mark.parametrize("revision", ["0001", "0003"])
def test_one_of_an_older_version_is_upgraded_in_place(url, revision):
    """What is in it stays; many may find it at once; on MySQL an upgrade that was killed half-way is begun anew."""
    open_ledger(url, create=True).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
        make_tables(connection, revision)
        audit.append(connection, "something", None, {})
        uuid = connection.exec_driver_sql("SELECT uuid FROM ci_migrate_identity").scalar_one()
        if engine.dialect.name == "mysql" and revision == "0001":
            connection.exec_driver_sql("CREATE TABLE ci_migrate_nonces (left_behind INTEGER)")
        elif engine.dialect.name == "mysql":
            metadata.tables["ci_migrate_databases"].create(connection)
            connection.exec_driver_sql("ALTER TABLE ci_migrate_runs ADD COLUMN sequence INTEGER")
            connection.exec_driver_sql("CREATE INDEX ix_ci_migrate_audit_run_id ON ci_migrate_audit (run_id)")
            connection.exec_driver_sql("DROP INDEX ix_ci_migrate_runs_target ON ci_migrate_runs")
    engine.dispose()
    processes = [start_process(url, OPEN + "ledger.audit('opened'); print(ledger.uuid)") for _ in range(3)]
    assert set(finish(processes)) == {uuid + "\n"}
    with open_ledger(url, create=False) as upgraded:
        assert protection.read(upgraded) == protection.UNPROTECTED
        assert [record.kind for record in upgraded.audit_records()] == ["something"] + ["opened"] * 3
        assert upgraded.verify_audit() == []
        assert upgraded.history(uuid) == ()


def test_F7_postgresql_no_search_path_leads_past_the_ledger(postgresql):
    """Not even to tables of these names: of the URL's options, the role's, or the database's."""
    url = ledger_url(postgresql, None)
    with open_ledger(url, create=True) as ledger:
        uuid = ledger.uuid
    run_sql(
        url,
        "CREATE SCHEMA evil",
        *(
            f"CREATE TABLE evil.{name} (LIKE public.{name} INCLUDING ALL)"
            for name in ("ci_migrate_version", "ci_migrate_identity", "ci_migrate_protection")
        ),
        "INSERT INTO evil.ci_migrate_version SELECT * FROM public.ci_migrate_version",
        f'ALTER DATABASE "{url.database}" SET search_path = evil',
    )
    with open_ledger(url, create=False) as ledger:
        assert ledger.uuid == uuid
    with open_ledger(
        url.update_query_dict({"options": "-csearch_path=evil,pg_catalog"}), create=False
    ) as ledger:
        assert ledger.uuid == uuid

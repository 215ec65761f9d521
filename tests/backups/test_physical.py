"""Physical backups through the whole pipeline, and servers of our own on them: the scripts that the examples have."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from mysql_server import mysql_programs, require
from physical_shop import EXAMPLES, ROWS, Shop, made_in
from sqlalchemy import create_engine, text

from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.own_server import refuse_unfit_folder, server_folder, why_of
from ci_migrate.databases.postgresql import own_server
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.errors import BackupError, DatabaseError


def servers() -> dict[int, int]:
    """The servers of our own that run, of any test: to each who asked for it; 0 where its keeper is gone."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
            program = Path(os.fsdecode(words[0])).name
            if program in ("postgres", "mariadbd", "mysqld") and b"/ci-migrate-" in b" ".join(words):
                keeper, command = parent_of(int(entry.parent.name))
                found[int(entry.parent.name)] = parent_of(keeper)[0] if b"server_keeper" in command else 0
        except OSError:  # it ended meanwhile
            continue
    return found


def servers_of(asker: int) -> set[int]:
    return {pid for pid, who in servers().items() if who == asker}


def parent_of(pid: int) -> tuple[int, bytes]:
    """Its parent's id and command line."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return parent, Path(f"/proc/{parent}/cmdline").read_bytes()


def end(pids: set[int]) -> bool:
    """Whether these servers end by themselves."""
    deadline = time.monotonic() + 15
    while (left := pids & servers().keys()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not left


@pytest.fixture
def shop(alembic_project, postgresql_url):
    return Shop(alembic_project, postgresql_url.set(drivername="postgresql+psycopg"))


@pytest.fixture(autouse=True)
def _no_server_stays():
    before = servers_of(os.getpid())
    yield
    assert end((servers_of(0) | servers_of(1) | servers_of(os.getpid())) - before)


# --------------------------------------------------------------------------- scratch = "embedded"


def test_a_rehearsal_on_a_server_of_our_own(shop, postgresql_server):
    """It has the target's version, roles, locale and settings; the target's server makes no copy."""
    with psycopg.connect(
        postgresql_server.admin_url.render_as_string(hide_password=False), autocommit=True
    ) as admin:
        admin.execute("DROP ROLE IF EXISTS embedded_reader")
        admin.execute("CREATE ROLE embedded_reader")
        try:
            shop.sql("grant select on users to embedded_reader", "alter table users add check (id > 0)")
            made = set()
            shop.project.settings('[targets.dev]\nurl = "env:SHOP"\nscratch = "embedded"\n')
            assert "a server of our own starts here" in shop.run("doctor").text
            shop.project.revision(
                "r2",
                "r1",
                "op.execute('GRANT INSERT ON users TO embedded_reader')",
                "op.execute('REVOKE INSERT ON users FROM embedded_reader')",
            )
            done = shop.run("run", code=0)
            made = {row[0] for row in admin.execute("SELECT datname FROM pg_database")}
            evidence = done.stage("dry-run")["evidence"]
            assert evidence["proven"] is True
            assert not [name for name in made if "scratch" in name]
            assert not evidence["comparison"].get("exceptions"), "the grant was restored: its role was there"
        finally:
            shop.sql("revoke all on users from embedded_reader")
            admin.execute("DROP ROLE embedded_reader")


def as_the_child(copy):
    """A session as a child process gets it on a copy."""
    place = dict(copy.wall().connect)
    return psycopg.connect(dbname=place.pop("database"), **place)


def test_it_is_used_as_the_role_that_migrates(postgresql_server, postgresql_url, tmp_path):
    admin = postgresql_server.admin_url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE ROLE embedded_app LOGIN PASSWORD 'x'")
        connection.execute("ALTER ROLE embedded_app SET search_path = pg_catalog, public")
        connection.execute("ALTER ROLE embedded_app SET session_preload_libraries = auto_explain")
        connection.execute(f"ALTER DATABASE {postgresql_url.database} OWNER TO embedded_app")
        try:
            target = PostgreSQL(postgresql_url.set(username="embedded_app", password="x"))
            with target.new_server() as url:
                place = PostgreSQL(url)
                place.make_copies_of(target)
                with place.scratch("own", tmp_path) as copy, as_the_child(copy) as session:
                    told = session.execute(
                        "SELECT current_user, current_setting('search_path'), current_setting('is_superuser'),"
                        " (SELECT count(*) FROM pg_db_role_setting, unnest(setconfig) c WHERE c LIKE 'session_preload%'),"
                        " (SELECT datcollate FROM pg_database WHERE datname = current_database())"
                    ).fetchone()
            collation = connection.execute(
                "SELECT datcollate FROM pg_database WHERE datname = %s", [postgresql_url.database]
            ).fetchone()[0]
            assert told == ("embedded_app", "pg_catalog, public", "off", 0, collation)
        finally:
            connection.execute(f"ALTER DATABASE {postgresql_url.database} OWNER TO postgres")
            connection.execute("DROP ROLE embedded_app")


def test_a_server_of_another_version_is_not_taken(shop, tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    for name in ("postgres", "initdb", "pg_dump", "pg_restore"):
        (old / name).write_text(f'#!/bin/sh\necho "{name} (PostgreSQL) 99.1"\n')
        (old / name).chmod(0o755)
    shop.project.settings(f'[targets.dev]\nurl = "env:SHOP"\nscratch = "embedded"\nclient-tools = "{old}"\n')
    done = shop.run("run")
    assert done.code == 8, done.text
    assert "is not of the target's version" in " ".join(done.text.split())
    assert "apt install postgresql-" in done.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a server as somebody else")
def test_a_folder_that_the_servers_account_can_not_come_to(postgresql_url, tmp_path, monkeypatch):
    closed = Path(tempfile.mkdtemp(prefix="cim-closed-"))
    (closed / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(closed / "tmp"))
    try:
        with pytest.raises(DatabaseError) as caught, PostgreSQL(postgresql_url).new_server():
            pass
        assert "set TMPDIR" in caught.value.hint
        assert str(closed) in caught.value.hint
    finally:
        shutil.rmtree(closed)


def test_the_server_ends_with_a_killed_process(postgresql_url):
    """SIGKILL: nobody is left to end it but its keeper."""
    script = (
        "import sys, time\nfrom sqlalchemy import make_url\n"
        "from ci_migrate.databases.postgresql.database import PostgreSQL\n"
        "with PostgreSQL(make_url(input())).new_server() as url:\n print(url, flush=True)\n time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child.stdin.write(postgresql_url.render_as_string(hide_password=False) + "\n")
    child.stdin.flush()
    assert "ci_migrate_like_target" in child.stdout.readline()
    started = servers_of(child.pid)
    assert started
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert end(started)


def test_the_server_ends_with_a_killed_keeper(postgresql_url):
    with PostgreSQL(postgresql_url).new_server():
        (server,) = servers_of(os.getpid())
        os.kill(parent_of(server)[0], signal.SIGKILL)
        assert end({server})


def test_the_role_postgres_has_the_rights_that_it_has_on_the_target(postgresql_url, monkeypatch):
    """Many hosts give the role `postgres` to their customers, and it is no superuser there."""
    facts = own_server.Facts.of
    asked = []

    def hosted(access):
        asked.append(told := facts(access))
        return replace(told, roles=[("postgres", False, True, True, True, False)])

    monkeypatch.setattr(own_server.Facts, "of", hosted)
    with PostgreSQL(postgresql_url).new_server() as url, PostgreSQL(url).engine().connect() as session:
        assert asked
        query = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'postgres'"
        assert session.exec_driver_sql(query).one() == (False, True, True)
        assert session.exec_driver_sql("SELECT current_user").scalar() != "postgres"


@pytest.mark.parametrize(("name", "words"), [("a,b", "has a comma"), ("ü" * 40, "is too long")])
def test_folders_that_no_socket_fits_in(monkeypatch, name, words):
    """A comma would make two folders of it, neither of them private; a path's bytes count."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, name)
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        with pytest.raises(DatabaseError, match=words), server_folder(""):
            pass


@pytest.mark.parametrize("on", ["empty", "backup:latest"])
def test_a_copy_in_the_targets_place_is_on_an_own_server(shop, on):
    shop.run("backup", "create", code=0)
    shop.project.settings('[targets.dev]\nurl = "env:SHOP"\nscratch = "embedded"\n')
    shop.project.revision(  # as who migrates the target, not as that server's own superuser
        "r2", "r1", "op.execute(\"do $$ begin assert current_user = 'postgres'; end $$\")", "pass"
    )
    before = shop.sql("select pg_postmaster_start_time(), (select count(*) from pg_database)")
    done = shop.run("dry-run", "--on", on, code=0)
    assert done.stage("dry-run")["outcome"] == "passed"
    assert shop.sql("select pg_postmaster_start_time(), (select count(*) from pg_database)") == before


# --------------------------------------------------------------------------- pg_basebackup


def backed_up(shop, postgresql_bin, tmp_path):
    """By pg_basebackup."""
    if not (postgresql_bin / "pg_verifybackup").exists():
        pytest.skip(f"there is no pg_verifybackup in {postgresql_bin}")
    shop.env["PATH"] = f"{postgresql_bin}:{os.environ['PATH']}"
    shop.store = tmp_path / "store"
    shop.store.mkdir()
    shop.provider("postgresql.py", str(shop.store))
    return shop


@pytest.fixture
def based(shop, postgresql_bin, tmp_path):
    return backed_up(shop, postgresql_bin, tmp_path)


def test_a_run_rehearses_on_a_server_on_the_backup(based):
    done = based.run("run", code=0)
    evidence = done.stage("dry-run")["evidence"]
    assert evidence["proven"] is True
    assert "column public.users.city" in json.dumps(evidence)
    said = " ".join(done.text.split())
    assert "Not compared: rows: the backup has neither digests nor exact numbers of them." in said
    held = based.backup()
    assert (based.store / held["providerId"] / "data" / "PG_VERSION").exists()
    assert [row[0] for row in based.sql("select count(city) from users")] == [0]
    assert based.project.environ.get("PGPASSWORD") is None


def test_it_is_restored_from_the_clone(based):
    # an index that a dump rightly leaves out
    based.sql(
        "create index ix_broken on users (name)",
        "update pg_index set indisvalid = false where indexrelid = 'ix_broken'::regclass",
    )
    based.run("backup", "create", code=0)
    name = based.backup()["backupId"]
    based.sql("delete from users where id > 10", "create table later (id int)")
    done = based.run("backup", "restore", name, "--yes", code=0)
    assert "kept" in done.text, done.text
    assert based.sql("select count(*), min(name) from users") == [(ROWS, "name 1")]
    assert based.sql("select to_regclass('later')") == [(None,)]
    based.sql("delete from users where id = 7")
    based.run("backup", "restore", name, "--table", "users", "--yes", "--no-safety-backup", code=0)
    assert based.sql("select count(*) from users") == [(ROWS,)]
    assert "equal to its manifest" in based.run("backup", "verify", name, "--restore", code=0).text
    based.run("backup", "delete", name, "--yes", code=0)
    assert not (based.store / name).exists()


def test_a_damaged_backup_is_refused(based):
    based.run("backup", "create", code=0)
    held = based.store / based.backup()["providerId"] / "data"
    victim = max((f for f in held.joinpath("base").rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 0xFF
    victim.write_bytes(data)
    done = based.run("backup", "verify", based.backup()["backupId"], "--restore")
    assert done.code == 8, done.text
    assert "checksum mismatch" in done.text
    before = based.sql("select count(*) from users")
    assert based.run("backup", "restore", based.backup()["backupId"], "--yes").code != 0
    assert based.sql("select count(*) from users") == before


def test_killed_on_the_clone(based):
    """Nothing of ours stays: neither the server nor, from the next run on, its files."""
    based.project.revision("r2", "r1", "op.execute('SELECT pg_sleep(60)')", "pass")
    process = subprocess.Popen(
        [sys.executable, "-m", "ci_migrate", "run"],
        cwd=based.project.folder,
        env={**based.project.environment(), **based.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    query = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()"
    try:
        deadline = time.monotonic() + 90
        while not (asleep := sleeping(query)):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    assert based.sql(query) == [], "it slept on the clone alone"
    place = asleep.parent
    based.project.revision(
        "r2", "r1", "alter table users add column city varchar(20)", "alter table users drop city"
    )
    os.utime(place, (0, 0))  # a young folder might not have taken its lock yet
    assert place.exists()
    assert based.run("repair").code in (0, 1)
    assert based.run("run").code == 0
    assert not place.exists()


def sleeping(query: str) -> Path | None:
    """The folder of a server of our own on which somebody sleeps."""
    for socket in Path(tempfile.gettempdir()).glob("ci-migrate-*/folder/.s.PGSQL.*[0-9]"):
        place = f"host={socket.parent} port={socket.suffix[1:]} dbname=postgres user=postgres"
        try:
            with psycopg.connect(place) as connection:
                if connection.execute(query).fetchone():
                    return socket.parent
        except psycopg.Error:
            continue
    return None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: (data / "PG_VERSION").unlink(), "not a server's data folder"),
        (lambda data: (data / "PG_VERSION").write_text("9.6\n"), "is of PostgreSQL 9"),
        (lambda data: (data / "postmaster.pid").write_text("1\n"), "has a postmaster.pid"),
        (lambda data: (data / "standby.signal").touch(), "wait for its primary for ever"),
        (
            lambda data: (data / "tablespace_map").write_text("16400 /srv/space\n"),
            "would make links to /srv/space",
        ),
        (lambda data: (data / "global" / "pg_control").unlink(), "did not start"),
        (lambda data: (data / "pg_wal").symlink_to(data.parent), "leads out of the copied folder"),
        (lambda data: (data / "global" / "16400").symlink_to("/srv/space"), "would write to /srv/space"),
        (
            lambda data: os.link(data / "global" / "pg_control", data.parent / "live"),
            "pg_control is the same file as one outside",
        ),
    ],
)
def test_folders_that_no_server_is_started_on(postgresql_url, tmp_path, change, words):
    data = tmp_path / "data"
    (data / "global").mkdir(parents=True)
    version = postgresql_major(postgresql_url)
    (data / "PG_VERSION").write_text(f"{version}\n")
    (data / "global" / "pg_control").touch()
    change(data)
    with pytest.raises(Exception, match=words), PostgreSQL(postgresql_url).server_on(data, data):
        pass


def test_links_within_the_clones_folder_are_its_own(tmp_path):
    """Also beside the server's data, where that is in the folder that ci-migrate gave; hard links are found there too."""
    data, space = tmp_path / "folder" / "data", tmp_path / "folder" / "tablespaces" / "16400"
    data.mkdir(parents=True)
    space.mkdir(parents=True)
    (data / "PG_VERSION").touch()
    (data / "16400").symlink_to("../tablespaces/16400")
    refuse_unfit_folder(data, None, "PG_VERSION", within=data.parent)
    with pytest.raises(BackupError, match="16400 leads out of the copied folder"):
        refuse_unfit_folder(data, None, "PG_VERSION", within=data)
    (tmp_path / "live").touch()
    os.link(tmp_path / "live", space / "1")
    with pytest.raises(BackupError, match="1 is the same file as one outside"):
        refuse_unfit_folder(data, None, "PG_VERSION", within=data.parent)
    (space / "1").unlink()
    (space / "2").symlink_to(tmp_path / "live")
    with pytest.raises(BackupError, match="2 leads out of the copied folder"):
        refuse_unfit_folder(data, None, "PG_VERSION", within=data.parent)


def test_of_a_servers_log_the_lines_that_say_why_are_told():
    errors = "LOG:  unrecognized configuration parameter\nFATAL:  configuration file contains errors"
    assert why_of(f"LOG:  starting\n{errors}\n") == errors.replace("\n", " ")
    assert why_of("LOG:  starting\nFATAL:  no memory\nLOG:  shut down") == "FATAL:  no memory"
    assert why_of("one\ntwo\n") == "two"


def test_the_targets_own_folder_is_refused(postgresql_server, postgresql_url):
    with (
        pytest.raises(BackupError, match="target's own server"),
        PostgreSQL(postgresql_url).server_on(postgresql_server.data, postgresql_server.data),
    ):
        pass


def postgresql_major(url) -> int:
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        return connection.info.server_version // 10000


def test_a_copy_leads_nowhere(based):
    """User mappings and subscriptions of the target are not in it, and no worker of theirs ever ran."""
    based.sql("create extension if not exists postgres_fdw", "create server away foreign data wrapper postgres_fdw",
              "create user mapping for current_user server away options (user 'u', password 'secret')",
              "create subscription sub connection 'host=127.0.0.1 port=1' publication p with (connect = false)")  # fmt: skip
    try:
        based.project.revision(
            "r2",
            "r1",
            "if os.environ['CI_MIGRATE_STAGE'] == 'dry-run': open('seen.txt', 'w').write(repr(op.get_bind().exec_driver_sql("
            "'select (select count(*) from pg_user_mappings), (select count(*) from pg_subscription s join pg_database d"
            " on d.oid = s.subdbid where datname = current_database())').one()))",
            "pass",
            extra="import os",
        )
        done = based.run("run")
        assert (based.project.folder / "seen.txt").read_text() == "(0, 0)", done.text
        assert based.sql("select count(*) from pg_user_mappings") == [(1,)]
    finally:
        based.sql(
            "alter subscription sub disable",
            "alter subscription sub set (slot_name = none)",
            "drop subscription sub",
        )


@pytest.fixture
def spaced(alembic_project, start_postgresql, postgresql_bin, tmp_path):
    """Its table lies in a tablespace of another folder."""
    place = Path(tempfile.mkdtemp(prefix="cim=space-"))  # an equals sign is one in pg_basebackup's mappings
    if os.geteuid() == 0:
        shutil.chown(place, "nobody", "nogroup")
    try:
        with start_postgresql() as server:
            shop = Shop(alembic_project, made_in(server))
            engine = create_engine(shop.url, isolation_level="AUTOCOMMIT")
            with engine.connect() as session:
                session.exec_driver_sql(f"create tablespace space location '{place}'")
                session.exec_driver_sql("alter table users set tablespace space")
            engine.dispose()
            shop.space = place
            yield backed_up(shop, postgresql_bin, tmp_path)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def test_a_tablespace_goes_with_the_clone(spaced):
    """The copy's lies below the folder of the clone; what a rehearsal writes is not the live server's."""
    files = sorted(spaced.space.rglob("*"))
    done = spaced.run("run", code=0)
    assert done.stage("dry-run")["evidence"]["proven"] is True
    assert sorted(spaced.space.rglob("*")) == files
    name = spaced.backup()["backupId"]
    spaced.sql("delete from users where id > 10")
    spaced.run("backup", "restore", name, "--yes", "--no-safety-backup", code=0)
    assert spaced.sql("select count(*), min(name) from users") == [(ROWS, "name 1")]
    query = (
        "select spcname from pg_class c join pg_tablespace t on t.oid = reltablespace where relname = 'users'"
    )
    assert spaced.sql(query) == [("space",)]


# --------------------------------------------------------------------------- MariaDB and MySQL


@pytest.fixture
def maria_shop(alembic_project, mysql_url):
    return Shop(alembic_project, mysql_url.set(drivername="mysql+pymysql"))


@pytest.mark.parametrize("engine", ["mysql", "mysql97"])
def test_a_rehearsal_on_an_own_server_of_mariadb_and_mysql(request, alembic_project, engine):
    url = request.getfixturevalue(f"{engine}_url").set(drivername="mysql+pymysql")
    shop = Shop(alembic_project, url)
    tools = f'client-tools = "{mysql_programs()}"' if engine == "mysql97" else ""
    shop.project.settings(f'[targets.dev]\nurl = "env:SHOP"\nscratch = "embedded"\n{tools}\n')
    done = shop.run("run", code=0)
    assert done.stage("dry-run")["evidence"]["proven"] is True
    assert shop.sql("select count(*) from users where city is null") == [(ROWS,)]


def test_a_database_whose_name_is_not_of_the_servers_character_set(start_mariadb, tmp_path):
    with start_mariadb(settings=("--character-set-server=latin1",)) as server:
        url = server.admin_url.set(query={"charset": "utf8mb4"}, database="mysql")
        engine = create_engine(url)
        with engine.connect() as session:
            session.exec_driver_sql('CREATE DATABASE `Käse; "1`')
        engine.dispose()
        with (
            MySQL(url.set(database='Käse; "1')).new_server() as own,
            MySQL(own).scratch("a", tmp_path) as copy,
        ):
            assert copy.schema() is not None


@pytest.fixture
def copied(maria_shop, tmp_path):
    if shutil.which("mariadb-backup") is None:
        require("mariadb", "there is no mariadb-backup (Debian: mariadb-backup)")
    maria_shop.store = tmp_path / "store"
    maria_shop.store.mkdir()
    maria_shop.provider("mariadb.py", str(maria_shop.store))
    return maria_shop


def test_mariadb_backup_through_the_pipeline(copied, tmp_path):
    done = copied.run("run", code=0)
    assert done.stage("dry-run")["evidence"]["proven"] is True
    name = copied.backup()["backupId"]
    copied.sql("delete from users where id > 10", "create table later (id int)")
    copied.run("backup", "restore", name, "--yes", code=0)
    assert copied.sql("select count(*), min(name) from users") == [(ROWS, "name 1")]
    assert copied.sql("show tables like 'later'") == []
    assert "equal to its manifest" in copied.run("backup", "verify", name, "--restore", code=0).text
    # what lies elsewhere would lie where the live server's files of that name will
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(copied.store / name, tmp_path / "copy")
    with MySQL(copied.url).server_on(tmp_path / "copy", tmp_path / "copy") as url:
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text(f"create table far (id int) data directory = '{elsewhere}'"))
        engine.dispose()
        assert not list(elsewhere.iterdir())


def test_a_damaged_copy_of_mariadb_is_refused(copied):
    copied.run("backup", "create", code=0)
    name = copied.backup()["backupId"]
    (table,) = (copied.store / name).rglob("users.ibd")
    data = bytearray(table.read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    table.write_bytes(data)
    before = copied.sql("select count(*) from users")
    assert copied.run("backup", "verify", name, "--restore").code != 0
    assert copied.run("backup", "restore", name, "--yes").code != 0
    assert copied.sql("select count(*) from users") == before


# --------------------------------------------------------------------------- pgBackRest, btrfs


@pytest.fixture
def rested(alembic_project, archived_postgresql):
    """A shop on a server whose WAL pgBackRest archives."""
    server, environ = archived_postgresql
    shop = Shop(alembic_project, made_in(server))
    shop.env |= environ
    return shop


def test_a_table_of_mariadb_that_lies_elsewhere_is_refused(mysql_url, tmp_path):
    data = tmp_path / "data"
    (data / "shop").mkdir(parents=True)
    (data / "ibdata1").touch()
    (data / "shop" / "users.isl").write_text("/srv/other/shop/users.ibd")
    with pytest.raises(BackupError, match=r"users\.isl leads out"), MySQL(mysql_url).server_on(data, data):
        pass


def test_a_folder_that_another_server_uses_is_left_as_it_is(mysql_url, start_mariadb):
    """Not that of the target, which is told by its path: in a container it has another one."""
    with start_mariadb() as other:
        (other.data / "auto.cnf").write_text("[auto]\n")  # as MySQL has it
        with (
            pytest.raises(BackupError, match="in use by a server"),
            MySQL(mysql_url).server_on(other.data, other.data),
        ):
            pass
        assert (other.data / "auto.cnf").read_text() == "[auto]\n"


@pytest.mark.long
def test_pgbackrest_through_the_pipeline(rested):
    """With a table in a tablespace, which the clone has below its own folder."""
    place = Path(rested.env["PGBACKREST_CONFIG"]).parent / "space"
    place.mkdir()
    if os.geteuid() == 0:
        shutil.chown(place, "nobody", "nogroup")
    engine = create_engine(rested.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as session:
        session.exec_driver_sql(f"create tablespace space location '{place}'")
        session.exec_driver_sql("alter table users set tablespace space")
    engine.dispose()
    rested.provider("pgbackrest.py", "shop", clone=("{id}", "{folder}"))
    done = rested.run("run", code=0)
    assert done.stage("dry-run")["evidence"]["proven"] is True
    held = rested.backup()
    assert held["providerId"].endswith("F")
    rested.sql("delete from users where id > 10")
    assert (
        "equal to its manifest" in rested.run("backup", "verify", held["backupId"], "--restore", code=0).text
    )


def used(folder: Path) -> int:
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return shutil.disk_usage(folder).used


@pytest.mark.long
@pytest.mark.parametrize("mounted", ["btrfs"], indirect=True)
def test_snapshots_of_btrfs_through_the_pipeline(alembic_project, start_postgresql, mounted):
    """A snapshot of a server at work: what was committed is in it."""

    def subvolume(data: Path) -> None:
        subprocess.run(["btrfs", "-q", "subvolume", "create", str(data)], check=True)

    with start_postgresql(place=str(mounted), prepare=subvolume) as server:
        shop = Shop(alembic_project, made_in(server))
        store = mounted / "store"
        store.mkdir()
        shop.provider("btrfs.py", str(server.data), str(store), clone=("{id}",), drop=True)
        before = used(mounted)
        done = shop.run("run", code=0)
        assert done.stage("dry-run")["evidence"]["proven"] is True
        name = shop.backup()["backupId"]
        assert [p.name for p in store.iterdir()] == [shop.backup()["providerId"]], "the clone was dropped"
        shop.sql("delete from users where id > 10")
        shop.run("backup", "restore", name, "--yes", "--no-safety-backup", code=0)
        assert shop.sql("select count(*) from users") == [(ROWS,)]
        assert used(mounted) - before < 40_000_000, "the snapshot shares what did not change"
        shop.run("backup", "delete", name, "--yes", code=0)
        assert not list(store.iterdir())


@pytest.mark.long
@pytest.mark.parametrize("mounted", ["btrfs", "xfs"], indirect=True)
def test_a_clone_shares_its_blocks_with_the_backup(shop, postgresql_bin, mounted):
    path = f"{postgresql_bin}:{os.environ['PATH']}"
    script = [sys.executable, str(EXAMPLES / "postgresql.py")]
    place = {**os.environ, "PATH": path, "CI_MIGRATE_PROVIDER_URL": shop.env["SHOP"]}
    subprocess.run([*script, "create", str(mounted), "one"], check=True, env=place)
    before = used(mounted)
    (mounted / "folder").mkdir(mode=0o755)
    made = subprocess.run(
        [*script, "clone", str(mounted), "one", str(mounted / "folder")],
        check=True,
        env=place,
        capture_output=True,
        text=True,
    )
    assert used(mounted) - before < 5_000_000
    with PostgreSQL(shop.url).server_on(Path(made.stdout.strip()), mounted / "folder") as url:
        (count,) = PostgreSQL(url).counts(["public.users"], exact=True).values()
    assert count.rows == ROWS

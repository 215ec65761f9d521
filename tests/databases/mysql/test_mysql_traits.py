"""What MySQL alone can be set to, and what only it has: through backup, dry run, migration, restore and comparison.

Invisible columns and indexes, functional indexes, CHECK NOT ENFORCED, histograms, utf8mb4_0900_ai_ci and VECTOR are in
the zoo (test_zoo.py), FLOAT values in test_values.py.
"""

import re
import threading
from uuid import uuid4

import pytest
from alembic_project import new_project
from mysql_server import client, free_port, run_mysql
from mysql_support import contents, execute, url_of
from mysql_zoo import differing, read_all
from sqlalchemy import make_url
from waiting import until

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access, mysql_parameters
from ci_migrate.errors import BackupError

PLAIN = (
    "CREATE TABLE things (id INT PRIMARY KEY, name VARCHAR(40), f FLOAT)",
    "INSERT INTO things VALUES (1, 'one', 123456.79), (2, NULL, 1e-30)",
    "CREATE TABLE keyless (a INT, b TEXT)",
    "INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, NULL)",
)


@pytest.fixture(scope="module")
def server(mysql_template):
    """One with a binary log and GTIDs, as those have that are replicated."""
    log = ("--log-bin=log", "--server-id=7", "--gtid-mode=ON", "--enforce-gtid-consistency=ON")
    with run_mysql(*mysql_template, free_port(), settings=log) as server:
        yield server


@pytest.fixture
def access(server):
    own = Access(mysql_parameters(server.url(f"test_{uuid4().hex[:12]}")), "ci-migrate/test")
    execute(own.elsewhere(""), f"CREATE DATABASE {own.database}")
    execute(own, *PLAIN)
    yield own
    for (name,) in execute(own.elsewhere(""), "SHOW DATABASES"):
        if str(name).startswith(own.database):
            execute(own.elsewhere(""), f"DROP DATABASE `{name}`")


@pytest.fixture
def setting(server):
    """Sets what the whole server is set to, for one test."""
    own, before = Access(mysql_parameters(server.admin_url), "ci-migrate/test"), {}

    def change(name, value):
        ((value_before,),) = execute(own, f"SELECT @@GLOBAL.{name}")
        before.setdefault(name, value_before)
        execute(own, f"SET GLOBAL {name} = {value}")

    yield change
    for name, value in before.items():
        execute(own, f"SET GLOBAL {name} = {value}")


def project_on(access, tmp_path, more=""):
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = url_of(access) + more
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    return project


def passes(access, tmp_path, upgrade='op.add_column("things", sa.Column("new", sa.String(10)))', more=""):
    """A run; then rows and a table get lost, and the backup brings back what was there before the run."""
    before = read_all(access)
    project = project_on(access, tmp_path, more)
    project.revision("r1", None, upgrade, 'op.drop_column("things", "new")')
    ran = project.call("run")
    assert ran.code == 0, ran.text
    (backup,) = re.findall(r"backup_base_\w+", project.call("backup", "list").out)
    execute(access, "DROP TABLE things", "DELETE FROM keyless")
    restored = project.call("backup", "restore", backup, "--yes")
    assert restored.code == 0, restored.text
    assert differing(before, read_all(access)) == {}
    return ran.text


@pytest.mark.long
def test_a_server_with_gtids(access, tmp_path):
    passes(access, tmp_path)


def test_a_backup_goes_between_servers_with_and_without_gtids(access, mysql_server, tmp_path):
    """It has none: a restore gets those of its own server, as whatever is written there."""
    plain = Access(mysql_parameters(mysql_server.url(access.database)), "ci-migrate/test")
    beside = access.elsewhere(access.database + "_back")
    before = read_all(access)
    for n, (one, other) in enumerate(((access, plain), (plain, beside))):
        payload = tmp_path / str(n)
        payload.mkdir()
        copies.dump(one, payload, [])
        execute(other.elsewhere(""), f"CREATE DATABASE {other.database}")
        copies.load(other, payload)
    execute(plain, f"DROP DATABASE {plain.database}")
    assert differing(before, read_all(beside)) == {}


@pytest.mark.long
def test_a_dump_of_mysqldump_is_a_database_like_any_other(access, tmp_path):
    """With its histograms and GTIDs; in the place of what a run has left it is noticed."""
    execute(access, "ANALYZE TABLE things UPDATE HISTOGRAM ON name WITH 4 BUCKETS")
    url = make_url(url_of(access))
    script = client("mysql", url, "dump", "--routines", "--triggers", "--set-gtid-purged=ON", "--column-statistics",
                    access.database)  # fmt: skip
    assert b"UPDATE HISTOGRAM" in script
    assert b"GTID_PURGED" in script
    project = project_on(access, tmp_path)
    project.revision("r1", None, 'op.add_column("things", sa.Column("new", sa.String(10)))', "pass")
    ran = project.call("run")
    assert ran.code == 0, ran.text
    (backup,) = re.findall(r"backup_base_\w+", project.call("backup", "list").out)
    # the set of its own server is not taken there (error 3546), as docs/databases.md says
    own = re.sub(rb"SET @@GLOBAL.GTID_PURGED=.*?;\n", b"", script, flags=re.DOTALL)
    execute(access, "DROP TABLE alembic_version", "DROP TABLE things")
    client("mysql", url, "", access.database, data=own)
    refused = project.call("run")
    assert refused.code == 1
    assert "has 2 tables and no version row, but run" in refused.text
    again = project.call("run", "--allow", "CM503=from mysqldump")
    assert again.code == 0, again.text
    restored = project.call("backup", "restore", backup, "--yes")
    assert restored.code == 0, restored.text
    histograms = f"SELECT 1 FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = '{access.database}'"
    assert execute(access, histograms) == ()  # docs/backups.md says so


DDL = (
    "ALTER TABLE things ADD COLUMN late INT",
    "CREATE TABLE late (a INT PRIMARY KEY)",
    "RENAME TABLE keyless TO later",
    "TRUNCATE things",
    "CREATE VIEW late_view AS SELECT 1 AS a",
    "CREATE PROCEDURE late_one() SELECT 1",
    "CREATE TRIGGER late_two BEFORE INSERT ON things FOR EACH ROW SET NEW.id = NEW.id",
)


def test_ddl_of_others_waits_for_the_end_of_a_dump(access, tmp_path):
    """By LOCK INSTANCE FOR BACKUP."""
    before, threads, ended = read_all(access), [], []

    def run(statement):
        execute(access, statement)
        ended.append(statement)

    def progress(_done, _total):
        if not threads:
            threads.extend(threading.Thread(target=run, args=[statement]) for statement in DDL)
            for thread in threads:
                thread.start()
            waiting = "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for backup lock'"
            until(lambda: len(execute(access, waiting)) == len(DDL))

    payload = tmp_path / "payload"
    payload.mkdir()
    copies.dump(access, payload, [], progress)
    for thread in threads:
        thread.join(60)
    assert len(ended) == len(DDL)
    copy = access.elsewhere(access.database + "_copy")
    execute(access, f"CREATE DATABASE {copy.database}")
    copies.load(copy, payload)
    assert differing(before, read_all(copy)) == {}


@pytest.mark.parametrize(
    "statement", [one for one in DDL if "PROCEDURE" not in one]
)  # such an account sees none
def test_ddl_that_nobody_could_hold_off_is_noticed(access, account, tmp_path, statement):
    user = account()
    execute(
        access, f"GRANT ALL ON {access.database}.* TO {user}@'%'",
        "CREATE TABLE a_first (a INT PRIMARY KEY)", "INSERT INTO a_first VALUES (1)",
    )  # fmt: skip
    payload, done = tmp_path / "payload", []
    payload.mkdir()

    def progress(_done, _total):  # first while the first table is read
        if not done:
            done.append(execute(access, statement))

    with pytest.raises(BackupError, match=r"was changed while it was dumped|can't be read") as raised:
        copies.dump(access.login(user, "pa%ss"), payload, [], progress)
    assert "BACKUP_ADMIN" in raised.value.hint
    assert done


def test_tables_that_changed_places_during_a_dump_are_found_by_its_proof(access, account, tmp_path):
    """Nothing else shows it where nobody could hold off DDL: a dump that lets go of each table it has read."""
    user = account()
    execute(access, f"GRANT ALL ON {access.database}.* TO {user}@'%'")
    for name, rows in (("one", "(1), (2)"), ("pause", "(0)"), ("two", "(3), (4)")):
        execute(access, f"CREATE TABLE {name} (a INT PRIMARY KEY)", f"INSERT INTO {name} VALUES {rows}")
    payload, calls = tmp_path / "payload", []
    payload.mkdir()

    def progress(_done, _total):  # twice for each table: keyless, one, pause
        calls.append(1)
        if len(calls) == 5:
            execute(access, "RENAME TABLE one TO three, two TO one, three TO two")

    dumped = copies.dump(access.login(user, "pa%ss"), payload, [], progress)
    copy = access.elsewhere(access.database + "_copy")
    execute(access, f"CREATE DATABASE {copy.database}")
    copies.load(copy, payload)
    assert contents(copy) != dumped.contents


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sql_require_primary_key", "ON"),
        pytest.param("sql_generate_invisible_primary_key", "ON", marks=pytest.mark.long),
        pytest.param("show_gipk_in_create_table_and_information_schema", "OFF", marks=pytest.mark.long),
        pytest.param("partial_revokes", "ON", marks=pytest.mark.long),
    ],
)
def test_what_the_server_is_set_to(access, setting, tmp_path, name, value):
    """Set after the tables were made: one of them has no key."""
    setting(name, value)
    passes(access, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name", ["sql_require_primary_key", "sql_generate_invisible_primary_key"])
def test_a_table_without_a_key_in_a_copy_of_an_account_of_its_own(access, setting, tmp_path, name):
    """Which may be made where a binary log does not forbid its triggers."""
    setting("log_bin_trust_function_creators", "ON")
    setting(name, "ON")
    passes(access, tmp_path)


def test_a_table_without_a_key_and_the_right_that_it_takes(access, setting, account, tmp_path):
    user, own = account(), access.database.replace("_", "\\_")
    for pattern in (own, "ci\\_migrate\\_scratch\\_"):
        execute(access, f"GRANT ALL ON `{pattern}%`.* TO {user}@'%'")
    execute(access, f"GRANT BACKUP_ADMIN, PROCESS ON *.* TO {user}@'%'")
    setting("sql_require_primary_key", "ON")
    project = project_on(access.login(user, "pa%ss"), tmp_path)
    project.revision("r1", None, "pass", "pass")
    refused = project.call("run")
    assert refused.code not in (0, 70), refused.text
    assert "keyless has no primary key" in " ".join(refused.text.split())
    (grant,) = re.findall(r"GRANT SESSION_VARIABLES_ADMIN ON \*\.\* TO \w+;", refused.text)
    execute(access, grant.rstrip(";"))
    ran = project.call("run")
    assert ran.code == 0, ran.text


def test_keys_that_the_server_made(access, setting, tmp_path):
    """They come back, hidden or shown."""
    setting("sql_generate_invisible_primary_key", "ON")
    execute(access, "CREATE TABLE made (a INT)", "INSERT INTO made VALUES (5), (6)")
    setting("show_gipk_in_create_table_and_information_schema", "OFF")
    passes(access, tmp_path)
    setting("show_gipk_in_create_table_and_information_schema", "ON")
    assert execute(access, "SELECT my_row_id, a FROM made") == ((1, 5), (2, 6))


@pytest.fixture
def account(access):
    """Makes an account that may log in and nothing else."""
    made = []

    def make(how="IDENTIFIED WITH caching_sha2_password BY 'pa%ss'"):
        made.append(f"u_{uuid4().hex[:8]}")
        execute(access, f"CREATE USER {made[-1]}@'%' {how}")
        return made[-1]

    yield make
    for name in made:
        execute(access, f"DROP USER {name}@'%'")


@pytest.mark.long
def test_rights_that_a_role_gives(access, account, tmp_path):
    """Its own, by SET DEFAULT ROLE; the account has none."""
    user, role = account(), f"r_{uuid4().hex[:8]}"
    own = access.database.replace("_", "\\_")
    execute(
        access, f"CREATE ROLE {role}", f"GRANT ALL ON `{own}%`.* TO {role}",
        f"GRANT ALL ON `ci\\_migrate\\_scratch\\_%`.* TO {role}", f"GRANT BACKUP_ADMIN, PROCESS ON *.* TO {role}",
        f"GRANT {role} TO {user}@'%'", f"SET DEFAULT ROLE {role} TO {user}@'%'",
    )  # fmt: skip
    try:
        passes(access.login(user, "pa%ss"), tmp_path)
    finally:
        execute(access, f"DROP ROLE {role}")


@pytest.mark.long
def test_a_right_that_is_revoked_in_part(access, setting, account, tmp_path):
    """All of the server but one other database."""
    setting("partial_revokes", "ON")
    user, other = account(), f"{access.database}_other"
    execute(
        access, f"CREATE DATABASE {other}", f"GRANT ALL ON *.* TO {user}@'%'", f"REVOKE ALL ON {other}.* FROM {user}@'%'",
    )  # fmt: skip
    passes(access.login(user, "pa%ss"), tmp_path)


@pytest.mark.long
def test_a_login_by_caching_sha2_password_without_tls(access, account, tmp_path):
    """The server's key encrypts the password: what the extra brings `cryptography` for."""
    user = account()
    execute(access, f"GRANT ALL ON *.* TO {user}@'%'")
    passes(access.login(user, "pa%ss"), tmp_path, more="?ssl_disabled=true")


@pytest.mark.long
def test_ddl_that_is_instant(access, tmp_path):
    told = passes(
        access, tmp_path, 'op.execute("ALTER TABLE things ADD COLUMN new INT DEFAULT 7, ALGORITHM=INSTANT")'
    )
    assert "column things.new added" in told


def test_ddl_that_can_not_be_instant_fails_in_the_dry_run(access, tmp_path):
    before = read_all(access)
    project = project_on(access, tmp_path)
    project.revision(
        "r1", None, 'op.execute("ALTER TABLE things MODIFY f DOUBLE, ALGORITHM=INSTANT")', "pass"
    )
    ran = project.call("run")
    assert ran.code not in (0, 70), ran.text
    assert "ALGORITHM=INSTANT is not supported" in " ".join(ran.text.split())
    assert differing(before, read_all(access)) == {}


def test_a_server_that_nobody_may_write_to_is_refused(access, setting, tmp_path):
    project = project_on(access, tmp_path)
    project.revision("r1", None, "pass", "pass")
    setting("read_only", "ON")  # whose end is that of the other, too
    setting("super_read_only", "ON")
    ran = project.call("run")
    setting("read_only", "OFF")
    assert ran.code not in (0, 70), ran.text
    assert "is read-only" in ran.text


@pytest.mark.parametrize(("here", "there"), [("mysql", "mariadb"), ("mariadb", "mysql")])
def test_V11_a_backup_of_the_other_is_refused(request, tmp_path, here, there):
    """By its name, before anything is made."""
    one, other = (
        Access(mysql_parameters(request.getfixturevalue(f"{n}_server").url(f"test_{uuid4().hex[:12]}")), "t")
        for n in (here, there)
    )
    for own in (one, other):
        execute(own.elsewhere(""), f"CREATE DATABASE {own.database} CHARACTER SET utf8mb4")
    try:
        execute(one, *PLAIN)
        payload = tmp_path / "payload"
        payload.mkdir()
        copies.dump(one, payload, [])
        names = {"mysql": "MySQL", "mariadb": "MariaDB"}
        with pytest.raises(BackupError, match=f"The backup is of {names[here]} .* is {names[there]}"):
            copies.load(other, payload)
        assert execute(other, "SHOW TABLES") == ()
    finally:
        for own in (one, other):
            execute(own.elsewhere(""), f"DROP DATABASE {own.database}")

"""What MySQL alone can be set to, and what only it has: through backup, dry run, migration, restore and comparison.

Invisible columns and indexes, functional indexes, CHECK NOT ENFORCED, histograms, utf8mb4_0900_ai_ci and VECTOR are in
the zoo (test_zoo.py), FLOAT values in test_values.py.
"""

import re
from uuid import uuid4

import pytest
from alembic_project import new_project
from mysql_server import free_port, run_mysql
from mysql_support import execute, url_of
from mysql_zoo import differing, read_all

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

"""Servers to which Shop and shop are one name (lower_case_table_names = 1), beside those to which they are two."""

import re
from uuid import uuid4

import pytest
from alembic_project import new_project
from mysql_server import free_port, installed_mysql, run_mariadb, run_mysql
from mysql_support import databases, execute, schema, url_of

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access, mysql_parameters
from ci_migrate.errors import BackupError

LOWER = ("--lower-case-table-names=1",)
FILL = (
    "CREATE TABLE Things (Id INT PRIMARY KEY, Name VARCHAR(40))",
    "INSERT INTO Things VALUES (1, 'a'), (2, NULL)",
    "CREATE TABLE Kids (Id INT PRIMARY KEY, Thing INT, CONSTRAINT Fk FOREIGN KEY (Thing) REFERENCES Things (Id))",
    "CREATE VIEW Seen AS SELECT Id FROM Things",
    "CREATE TRIGGER Counts BEFORE INSERT ON Kids FOR EACH ROW SET NEW.Thing = (SELECT COUNT(*) FROM Things)",
    "CREATE PROCEDURE Shows() SELECT * FROM Things",
)


@pytest.fixture(scope="module", params=["mariadb", pytest.param("mysql", marks=pytest.mark.long)])
def engine(request):
    return request.param


@pytest.fixture(scope="module")
def lower(engine, request):
    """MySQL takes the setting when its data folder is made, MariaDB when it starts."""
    if engine == "mariadb":
        with run_mariadb(request.getfixturevalue("mariadb_template"), settings=LOWER) as server:
            yield server
        return
    programs, _ = request.getfixturevalue("mysql_template")
    with (
        installed_mysql(programs, settings=LOWER) as template,
        run_mysql(programs, template, free_port(), settings=LOWER) as server,
    ):
        yield server


def make(server, name=""):
    own = Access(mysql_parameters(server.url(name or f"test_{uuid4().hex[:12]}")), "ci-migrate/test")
    execute(own.elsewhere(""), f"CREATE DATABASE {own.database} CHARACTER SET utf8mb4")
    return own


def project_on(access, tmp_path, upgrade="pass", downgrade="pass"):
    project = new_project(tmp_path / "project", revisions=False)
    project.environ["DATABASE_URL"] = url_of(access)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision("r1", None, upgrade, downgrade)
    return project


def test_names_with_capitals_pass_the_gate_and_come_back(lower, tmp_path):
    access = make(lower)
    execute(access, *FILL)
    before = schema(access)
    project = project_on(
        access,
        tmp_path,
        'op.create_table("Others", sa.Column("Id", sa.Integer, primary_key=True))\n'
        'op.execute("INSERT INTO OTHERS VALUES (3)")\nop.add_column("Things", sa.Column("New", sa.Integer))',
        'op.drop_table("Others")\nop.drop_column("Things", "New")',
    )
    ran = project.call("run")
    assert ran.code == 0, ran.text
    assert "rows others: no table -> 1" in ran.text
    (backup,) = re.findall(r"backup_base_\w+", project.call("backup", "list").out)
    execute(access, "DROP VIEW Seen", "DELETE FROM Things")
    restored = project.call("backup", "restore", backup, "--yes")
    assert restored.code == 0, restored.text
    assert schema(access) == before
    assert execute(access, "SELECT * FROM Things ORDER BY Id") == ((1, "a"), (2, None))
    execute(access, "CALL Shows()", "INSERT INTO Kids VALUES (1, 1)")
    assert execute(access, "SELECT Thing FROM Kids") == ((2,),)


def test_a_url_that_writes_the_database_otherwise_is_refused(lower, tmp_path):
    """Else it would be two databases here, of which one is protected."""
    access = make(lower, f"Shop_{uuid4().hex[:8]}")
    execute(access, *FILL)
    project = project_on(access, tmp_path)
    before = databases(access)
    for command in ("status", "plan", "protect", "run"):
        refused = project.call(command)
        text = " ".join(refused.text.split())
        assert refused.code not in (0, 70), text
        assert f"calls the database {access.database.lower()}, and the URL {access.database}." in text
    assert databases(access) == before
    project.environ["DATABASE_URL"] = url_of(access.elsewhere(access.database.lower()))
    ran = project.call("run")
    assert ran.code == 0, ran.text


@pytest.mark.parametrize("back", [False, True])
def test_a_backup_of_a_server_that_takes_case_otherwise_is_refused(lower, engine, request, payload, back):
    """MySQL would make all of it: from 0 under other names, from 1 with programs that find no table."""
    servers = [request.getfixturevalue(f"{engine}_server"), lower]
    one, other = map(make, servers[::-1] if back else servers)
    try:
        execute(one, *FILL)
        copies.dump(one, payload, [])
        words = f"lower_case_table_names = {int(back)}, and {other.server} has {int(not back)}"
        with pytest.raises(BackupError, match=words):
            copies.load(other, payload)
        assert execute(other, "SHOW TABLES") == ()
    finally:
        for own in (one, other):
            execute(own.elsewhere(""), f"DROP DATABASE {own.database}")

"""A password in a target's URL is shown nowhere: not by a run, not by an error, not in files, not in `ps`."""

import threading
from contextlib import closing
from pathlib import Path
from typing import Self
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pymysql
import pytest
from alembic_project import AlembicProject, new_project
from sqlalchemy import URL, MetaData, create_engine, make_url, select

CANARY = "canary7f3a91c2"
PASSWORD = f"@:/%#?& {CANARY}' \\"
"""Hostile to whatever quotes it; the part that is looked for survives any quoting."""

REVISION = """
from sqlalchemy.exc import OperationalError
bind = op.get_bind()
print("seen by a migration:", repr(bind.engine.url))
op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))
"""


@pytest.fixture
def project(tmp_path: Path) -> AlembicProject:
    project = new_project(tmp_path / "project", revisions=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.revision("r1", None, REVISION, 'op.drop_table("notes")')
    project.revision("r2", "r1", "CREATE TABLE more (id integer)", "DROP TABLE more")
    return project


@pytest.fixture
def postgresql(postgresql_server, postgresql_url):
    name = f"canary_{uuid4().hex[:8]}"
    admin = postgresql_server.admin_url.render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        literal = PASSWORD.replace("'", "''")
        connection.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{literal}'")
        yield postgresql_url.set(drivername="postgresql+psycopg", username=name, password=PASSWORD)
        for database in (postgresql_url.database, f"{postgresql_url.database}_ci_migrate"):
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        connection.execute(f"DROP ROLE {name}")


@pytest.fixture
def mysql(mariadb_server, mysql_url):
    name = f"canary_{uuid4().hex[:8]}"
    admin = pymysql.connect(
        host="127.0.0.1", port=mariadb_server.port, user=mysql_url.username, password=mysql_url.password
    )
    with closing(admin), admin.cursor() as cursor:
        account = f"'{name}'@'127.0.0.1'"
        cursor.execute(f"CREATE USER {account} IDENTIFIED BY %s", [PASSWORD])
        cursor.execute(f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION")
        yield mysql_url.set(drivername="mysql+pymysql", username=name, password=PASSWORD)
        cursor.execute(f"DROP USER {account}")


WAYS = [("postgresql", None), ("postgresql", "password"), ("mysql", None), ("mysql", "passwd")]


def written(url: URL, query: str | None) -> str:
    """The URL, with the password where it mostly is, or in its query."""
    if query is None:
        return url.render_as_string(hide_password=False)
    return f"{url._replace(password=None).render_as_string()}?{query}={quote(PASSWORD, safe='')}"


def kept_in_the_ledger(url: URL) -> str:
    """All rows of all its tables."""
    engine = create_engine(url.set(database=f"{url.database}_ci_migrate"))
    with closing(engine.connect()) as connection:
        tables = MetaData()
        tables.reflect(connection)
        rows = [connection.execute(select(table)).fetchall() for table in tables.sorted_tables]
    engine.dispose()
    return repr(rows)


class Processes:
    """The arguments of all processes of this machine, while the block runs."""

    def __enter__(self) -> Self:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes())
                except OSError:
                    continue  # it has ended


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
@pytest.mark.parametrize(("engine", "query"), WAYS)
def test_S1_S3_a_password_is_shown_nowhere(
    engine: str, query: str | None, project: AlembicProject, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(engine)
    project.environ["DATABASE_URL"] = written(url, query)
    with Processes() as processes:
        commands = [["settings"], ["plan"], ["run"], ["status"], ["history"], ["backup", "list", "--json"],
                    ["audit", "show"], ["--debug", "backup", "verify", "none"]]  # fmt: skip
        texts = []
        for command in commands:
            done = project.run(*command)
            assert CANARY not in done.text, command
            assert command == commands[-1] or done.code == 0, done.text
            texts.append(done.text)
    assert any(b"ci_migrate" in arguments for arguments in processes.seen), "the test looks at nothing"
    assert any(b"dump" in arguments for arguments in processes.seen), "the test looks at nothing"
    assert not [arguments for arguments in processes.seen if CANARY.encode() in arguments]
    assert CANARY.encode() not in project.everything()
    ledger = kept_in_the_ledger(url)
    assert "r2" in ledger
    assert CANARY not in ledger


@pytest.mark.parametrize(("engine", "query"), WAYS)
@pytest.mark.parametrize("fault", ["password", "database", "port"])
def test_S1_a_password_is_in_no_error(
    engine: str, query: str | None, fault: str, project: AlembicProject, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(engine)
    wrong = {
        "password": url.set(username="nobody"),
        "database": url.set(database="none"),
        "port": url.set(port=1),
    }[fault]
    project.environ["DATABASE_URL"] = written(wrong, query)
    for command in (["--debug", "plan"], ["backup", "create"]):
        done = project.run(*command)
        assert done.code == 8, done.text
        assert CANARY not in done.text
    assert CANARY.encode() not in project.everything()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{CANARY}@host:port/db",
        f"postgresql://user:{CANARY}@[::1/db",
        f"mysql+pymysql://user:{CANARY}@host:99999999/db",
        f"//user:{CANARY}@host/db",
        f"user={CANARY}",
        CANARY,
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3D{CANARY}",
    ],
)
def test_S2_a_url_that_is_none_is_not_echoed(url: str, project: AlembicProject) -> None:
    project.environ["DATABASE_URL"] = url
    for command in (["plan"], ["--debug", "run"], ["settings"]):
        done = project.run(*command)
        assert done.code in (0, 1, 2, 8), done.text
        assert done.code != 0 or command == ["settings"]
        assert CANARY not in done.text
        assert "Traceback" not in done.text or "--debug" in command
    assert CANARY.encode() not in project.everything()


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mysql"])
def test_S6_an_error_of_a_hundred_megabytes(
    engine: str, project: AlembicProject, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = make_url("sqlite:///app.db") if engine == "sqlite" else request.getfixturevalue(engine)
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    project.revision("r3", "r2", 'raise RuntimeError("begins here " + 100_000_000 * "x")')
    done = project.run("run")
    assert done.code == 1, done.text[:2000]
    assert "begins here" in done.text
    assert len(done.text) < 100_000
    sizes = {path.name: path.stat().st_size for path in project.reports.iterdir()}
    assert max(sizes.values()) < 2_000_000, sizes

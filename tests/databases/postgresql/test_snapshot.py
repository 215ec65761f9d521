"""A database as large as its server's table of locks: what pg_dump can read, the gate can back up and restore."""

import subprocess

import psycopg
import pytest
from alembic_project import new_project

from benchmarks.large import REVISION

MAKE = """DO $$ BEGIN FOR n IN 1..{count} LOOP
  EXECUTE format('CREATE TABLE t_%s (id serial PRIMARY KEY, label text UNIQUE, amount int CHECK (amount > 0))', n);
  EXECUTE format('INSERT INTO t_%s (label, amount) VALUES (''x'', 1)', n);
  IF n % 20 = 0 THEN COMMIT; END IF;
END LOOP; END $$"""


@pytest.fixture
def crowded_server(start_postgresql):
    """Room for some 450 locks, of all sessions together."""
    with start_postgresql(settings=("max_locks_per_transaction=10", "max_connections=20")) as server:
        yield server


def _url(server, name, tables):
    with psycopg.connect(
        server.admin_url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    url = server.url(name).render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(MAKE.format(count=tables).encode())
    return url


def _project(folder, url):
    project = new_project(folder, revisions=False)
    project.write("migrations/versions/0001.py", REVISION)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    project.environ["DATABASE_URL"] = url.replace("postgresql:", "postgresql+psycopg:")
    return project


def _pg_dump(server, url, folder):
    return subprocess.run(
        [str(server.binaries / "pg_dump"), "-Fc", f"--file={folder}/plain", "-d", url],
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_F57_what_fits_into_the_table_of_locks_for_pg_dump_does_for_the_gate(crowded_server, tmp_path):
    url = _url(crowded_server, "crowded", 200)
    assert _pg_dump(crowded_server, url, tmp_path).returncode == 0
    project = _project(tmp_path / "project", url)
    done = project.run("run")
    assert done.code == 0, done.text
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM added").fetchone() == (1000,)
    done = project.run("backup", "restore", "--target", "dev", "--yes", _backup(project))
    assert done.code == 0, done.text
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('added')").fetchone() == (None,)
        assert connection.execute("SELECT sum(amount), count(*) FROM t_200").fetchone() == (1, 1)


def _backup(project):
    return next(path.name for path in (project.folder / ".ci-migrate" / "backups").glob("backup_base_*"))


def test_F57_what_does_not_fit_names_the_setting(crowded_server, tmp_path):
    url = _url(crowded_server, "overcrowded", 500)
    plain = _pg_dump(crowded_server, url, tmp_path)
    assert "out of shared memory" in plain.stderr
    done = _project(tmp_path / "project", url).run("backup", "create")
    assert done.code == 8, done.text
    assert "pg_dump keeps 1,000 locks, and the server has room for 250" in done.words
    assert "raise max_locks_per_transaction" in done.words
    assert "The database was not touched." in done.words

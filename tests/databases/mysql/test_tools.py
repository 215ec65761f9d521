"""Finding the programs of MySQL and MariaDB, how they reach the server, and what is said when they don't fit."""

import os

import pytest

from ci_migrate.databases.mysql import tools
from ci_migrate.databases.mysql.flavours import flavour_of
from ci_migrate.databases.mysql.sessions import Access, mysql_parameters
from ci_migrate.errors import BackupError, ToolError

MARIADB = flavour_of("10.11.6-MariaDB")
MYSQL = flavour_of("8.0.36")
DEBIAN = "Ver 10.19 Distrib {}-MariaDB, for debian-linux-gnu (x86_64)"
NEWER = "from {}-MariaDB, client 10.19 for Linux (x86_64)"
ORACLE = "Ver {} for Linux on x86_64 (MySQL Community Server - GPL)"


def fake(folder, said, name="mariadb-dump"):
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "{name}  {said}" && exit\nexit 9\n')
    program.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("said", "flavour", "version", "text"),
    [
        (DEBIAN.format("10.11.6"), "MariaDB", (10, 11), "10.11.6"),
        (NEWER.format("11.4.2"), "MariaDB", (11, 4), "11.4.2"),
        (ORACLE.format("8.4.3"), "MySQL", (8, 4), "8.4.3"),
        ("Ver 10.13 Distrib 5.7.44, for linux (x86_64)", "MySQL", (5, 7), "5.7.44"),
    ],
)
def test_versions(tmp_path, said, flavour, version, text):
    folder = fake(tmp_path / "bin", said, "mysqldump")
    server = flavour_of("10.6.1-MariaDB" if flavour == "MariaDB" else f"{version[0]}.{version[1]}.0")
    tool = tools.find_tool(tools.DUMP, server, folder)
    assert (tool.flavour, tool.version, tool.text) == (flavour, version, text)
    assert tool.words == f"mysqldump {text} ({tmp_path}/bin/mysqldump)"


def test_B11_no_program_at_all(tmp_path):
    with pytest.raises(ToolError, match="mariadb-dump or mysqldump was not found in") as raised:
        tools.find_tool(tools.DUMP, MARIADB, str(tmp_path))
    assert raised.value.hint.startswith("Install mariadb-client 10.11 or newer")
    assert "client-tools" in raised.value.hint


def test_B11_a_program_older_than_the_server(tmp_path):
    folder = fake(tmp_path, DEBIAN.format("10.5.23"))
    with pytest.raises(ToolError, match=r"is version 10.5.23, older than the server \(MariaDB 10.11\)"):
        tools.find_tool(tools.DUMP, MARIADB, folder)


def test_B11_the_other_flavours_program(tmp_path):
    folder = fake(tmp_path, ORACLE.format("8.4.0"), "mysqldump")
    with pytest.raises(ToolError, match=r"is MySQL's \(8.4.0\), and the server is MariaDB 10.11"):
        tools.find_tool(tools.DUMP, MARIADB, folder)
    folder = fake(tmp_path / "other", DEBIAN.format("11.4.0"), "mysqldump")
    with pytest.raises(ToolError, match=r"is MariaDB's \(11.4.0\), and the server is MySQL 8.0"):
        tools.find_tool(tools.DUMP, MYSQL, folder)


def test_one_that_fits_is_found_behind_one_that_does_not(tmp_path, monkeypatch):
    first = fake(tmp_path / "first", DEBIAN.format("10.5.1"))
    fake(tmp_path / "system", DEBIAN.format("11.4.2"))
    monkeypatch.setenv("PATH", first)
    monkeypatch.setattr(tools, "SYSTEM", (tmp_path / "none", tmp_path / "system"))
    assert tools.find_tool(tools.DUMP, MARIADB).path == tmp_path / "system" / "mariadb-dump"


def test_a_program_that_does_not_run_is_passed_over(tmp_path):
    folder = fake(tmp_path, ORACLE.format("8.4.0"), "mysqldump")
    (tmp_path / "mysqldump").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ToolError, match="was not found"):
        tools.find_tool(tools.DUMP, MYSQL, folder)


@pytest.mark.parametrize(
    "password", ['a"b', "'", "#; no comment", " spaces ", "back\\slash\\n", "a=b", "tab\there", "ünï😀", "%s"]
)
def test_hostile_passwords_reach_the_server(mysql_url, password):
    admin = Access(mysql_parameters(mysql_url), "ci-migrate/test")
    name = f"u_{os.urandom(6).hex()}"
    with admin.session() as cursor:
        cursor.execute("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", [name, password])
        cursor.execute(f"GRANT ALL ON {admin.database}.* TO %s@'127.0.0.1'", [name])
        try:
            tool = tools.find_tool(tools.CLIENT, MARIADB)
            access = admin.login(name, password)
            tools.write_to(tool, ["--batch", "--", access.database], access, [b"CREATE TABLE t (a INT);\n"])
        finally:
            cursor.execute("DROP USER %s@'127.0.0.1'", [name])
        cursor.execute("SHOW TABLES")
        assert cursor.fetchall() == (("t",),)


def test_a_failing_program_is_told_by_its_first_error(mysql_url):
    access = Access(mysql_parameters(mysql_url), "ci-migrate/test")
    tool = tools.find_tool(tools.CLIENT, MARIADB)
    with pytest.raises(BackupError, match=r"mariadb failed with exit code 1: ERROR 1146 .*nothing"):
        tools.write_to(tool, ["--batch", "--", access.database], access, [b"SELECT * FROM nothing;\n"] * 2)


def test_a_wrong_password_is_told_without_it(mysql_url):
    access = Access(mysql_parameters(mysql_url), "ci-migrate/test").login("admin", "canary-1234")
    tool = tools.find_tool(tools.DUMP, MARIADB)
    with pytest.raises(BackupError, match="Access denied") as raised:
        tools.read_from(tool, ["--", access.database], access, lambda _: None)
    assert "canary" not in "".join(raised.value.lines)


def test_the_users_own_option_files_and_environment_are_not_read(mysql_url, tmp_path, monkeypatch):
    (tmp_path / ".my.cnf").write_text("[client]\nhost=nowhere.invalid\n[mariadb]\ninit-command=nonsense\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MYSQL_PWD", "wrong")
    monkeypatch.setenv("MYSQL_HOST", "nowhere.invalid")
    access = Access(mysql_parameters(mysql_url), "ci-migrate/test")
    tool = tools.find_tool(tools.CLIENT, MARIADB)
    tools.write_to(tool, ["--batch", "--", access.database], access, [b"SELECT 1;\n"])

"""A database in which everything lives that legally may: backup, dry run, migration, repair, restore.

What comes back is compared by the server's own words and checksums, not by how we read it.
"""

import re
from pathlib import Path

import pytest
from alembic_project import AlembicProject, new_project
from mysql_support import execute, is_mariadb, statements, url_of, version_of

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access

ZOO = Path(__file__).parents[2] / "zoo"


def fill(access: Access, *, without: str = "no such words") -> None:
    own = "mariadb.sql" if is_mariadb(access) else "mysql.sql"
    too_new = ("VECTOR",) if not is_mariadb(access) and version_of(access) < (9, 0) else ()
    script = "".join((ZOO / name).read_text(encoding="utf-8") for name in ("mysql_both.sql", own))
    with access.session() as cursor:
        cursor.execute(
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'"
        )
        cursor.execute("SET SESSION default_storage_engine = InnoDB")
        for statement in statements(script.replace("THISDB", access.database)):
            if without not in statement and not any(word in statement for word in too_new):
                cursor.execute(statement)


def read_all(access: Access) -> dict[str, object]:
    """Every object as SHOW CREATE has it, every table's checksum and rows; by the database's own name."""
    found: dict[str, object] = {}
    with access.session() as cursor:
        cursor.execute("SET SESSION sql_mode = '', time_zone = '+00:00'")
        lists = {
            "TABLE": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE"
            " NOT IN ('VIEW', 'SEQUENCE')",
            "SEQUENCE": "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE"
            " = 'SEQUENCE'",
            "VIEW": "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()",
            "TRIGGER": "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
            "EVENT": "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()",
            **{
                kind: "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE() AND"
                f" ROUTINE_TYPE = '{kind}'"
                for kind in ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")
            },
        }
        for kind, query in lists.items():
            cursor.execute(query)
            for (name,) in cursor.fetchall():
                quoted = "`" + name.replace("`", "``") + "`"
                cursor.execute(f"SHOW CREATE {kind} {quoted}")
                titles = [column[0] for column in cursor.description]
                row = dict(zip(titles, cursor.fetchone(), strict=True))
                row.pop("Created", None)
                if kind == "TRIGGER":  # MySQL keeps what parted it from the next statement
                    create = row["SQL Original Statement"]
                    row["SQL Original Statement"] = create.rstrip().removesuffix(";").rstrip()
                text = re.sub(r"`?test_[0-9a-f]{12}(_fresh)?`?\.", "", repr(sorted(row.items())))
                found[f"{kind} {name}"] = text
                if kind == "TABLE":
                    cursor.execute(f"CHECKSUM TABLE {quoted} EXTENDED")
                    found[f"checksum {name}"] = cursor.fetchone()[1]
                    cursor.execute(f"SELECT COUNT(*) FROM {quoted}")
                    found[f"rows {name}"] = cursor.fetchone()[0]
        if is_mariadb(access):
            cursor.execute(
                "SELECT id, x, row_start, row_end FROM versioned FOR SYSTEM_TIME ALL ORDER BY 1, 3"
            )
            found["history"] = cursor.fetchall()
    return found


def differing(ours: dict[str, object], theirs: dict[str, object]) -> dict[str, object]:
    return {
        key: (ours.get(key), theirs.get(key))
        for key in ours.keys() | theirs.keys()
        if ours.get(key) != theirs.get(key)
    }


BY_SERVER = ("checksum by_transaction", "checksum indexed")
"""What differs by itself: the transaction that made a row; MySQL's checksum of a table with an index over an array."""


def test_the_zoo_comes_back(either, beside, payload):
    fill(either)
    before = read_all(either)
    dumped = copies.dump(either, payload, [])
    copies.load(beside, payload)
    left = {f"{name.split(' ')[0].upper()} {name.split(' ')[1]}" for name, _ in dumped.exceptions}
    assert left == {"VIEW broken"}
    found = differing(before, read_all(beside))
    assert {key: words for key, words in found.items() if key not in left and key not in BY_SERVER} == {}
    history = {f"older rows of table {name}" for name in ("by_transaction", "versioned", "versioned_by_name")}
    assert set(dumped.not_digested) == (history if is_mariadb(either) else set())


@pytest.fixture
def owner(either):
    """An account that may do all in this database, and in those that the gate makes, and nothing else."""
    name = f"u_{either.database[-12:]}"
    host = "127.0.0.1" if is_mariadb(either) else "%"
    execute(either, f"CREATE USER {name}@'{host}' IDENTIFIED BY 'x'")
    for pattern in (f"{either.database}%", "ci_migrate_scratch_%"):
        execute(either, f"GRANT ALL ON `{pattern.replace('_', chr(92) + '_')}`.* TO {name}@'{host}'")
    yield either.login(name, "x")
    execute(either, f"DROP USER {name}@'{host}'")


def make_project(access: Access, folder: Path) -> AlembicProject:
    project = new_project(folder, revisions=False)
    project.environ["DATABASE_URL"] = url_of(access)
    project.settings('restore = "auto"\n[targets.dev]\nurl = "env:DATABASE_URL"\n')
    return project


@pytest.mark.parametrize("whom", [pytest.param("root", marks=pytest.mark.long), "owner"])
def test_the_zoo_passes_the_gate_and_comes_back_after_a_failure(either, tmp_path, whom, request):
    account = either if whom == "root" else request.getfixturevalue("owner")
    # whose definer an owner may not name
    fill(account, without="no such words" if whom == "root" else "nobody here")
    before = read_all(either)
    project = make_project(account, tmp_path / "project")
    project.revision(
        "r1",
        None,
        'op.create_table("added", sa.Column("id", sa.Integer, primary_key=True))',
        'op.drop_table("added")',
    )
    ran = project.run("run")
    assert ran.code == 0, ran.text
    new = {
        "TABLE added",
        "checksum added",
        "rows added",
        "TABLE alembic_version",
        "checksum alembic_version",
        "rows alembic_version",
    }
    assert differing(before, read_all(either)).keys() - {"VIEW broken"} - set(BY_SERVER) == new
    # it stops on the target alone, with a table dropped that only the backup has
    project.revision(
        "r2",
        "r1",
        'import os\nop.drop_table("numbers")\nif os.environ.get("CI_MIGRATE_STAGE") == "migrate":\n    op.execute("no sql")',
    )
    at_r1 = read_all(either)
    ran = project.run("run", "--allow", "CM201@r2=zoo")
    assert ran.code != 0
    listed = project.run("backup", "list")
    newest = re.findall(r"backup_r1_\w+", listed.out)
    restored = project.run("backup", "restore", newest[0], "--yes")
    assert restored.code == 0, ran.text + restored.text
    found = differing(at_r1, read_all(either)).keys() - {"VIEW broken"} - set(BY_SERVER)
    assert found == set()

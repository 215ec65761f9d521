"""A database in which everything lives that legally may: backup, dry run, migration, repair, restore.

What comes back is compared by the server's own words and checksums, not by how we read it.
"""

import re
from pathlib import Path

import pytest
from alembic_project import AlembicProject, new_project
from mysql_support import execute, is_mariadb, url_of
from mysql_zoo import differing, fill, read_all

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access

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

"""What `status`, `run` and `repair` print under `next` can be pasted, whatever is wrong: SQLite, in this process."""

import re
import shutil
from collections.abc import Callable

import pytest
from alembic_project import AlembicProject
from pasted import commands_to_paste, under_next

Trouble = Callable[[AlembicProject], None]


def migrated(project: AlembicProject) -> None:
    assert project.gate("run").exit_code == 0


def covered(project: AlembicProject) -> None:
    project.sql("create table users (id integer primary key, name text, email text)")
    project.put_version_rows("r1", "r2")


def covered_and_known(project: AlembicProject) -> None:
    migrated(project)
    project.sql("insert into alembic_version values ('r1')")


def twice(project: AlembicProject) -> None:
    project.put_version_rows("r2", "r2", key="")


def unknown(project: AlembicProject) -> None:
    project.put_version_rows("zzz")


def unknown_but_applied(project: AlembicProject) -> None:
    migrated(project)
    script = project.revision("other", "r2", "create table other (id integer)", "drop table other")
    migrated(project)
    script.unlink()


def unknown_and_the_schema_is_known(project: AlembicProject) -> None:
    migrated(project)
    project.sql("update alembic_version set version_num = 'zzz'")


def lost_version_rows(project: AlembicProject) -> None:
    migrated(project)
    project.sql("delete from alembic_version")


def emptied(project: AlembicProject) -> None:
    assert project.gate("run", "r1").exit_code == 0
    project.sql("insert into users (name) values ('a')")
    migrated(project)
    project.database.write_bytes(b"")


def emptied_without_a_backup(project: AlembicProject) -> None:
    migrated(project)
    project.database.write_bytes(b"")


def a_copy(project: AlembicProject) -> None:
    migrated(project)
    assert project.call("protect").code == 0
    shutil.copy(project.database, project.folder / "staging.db")
    project.settings('[targets.dev]\nurl = "sqlite:///staging.db"\n')
    project.environ["DATABASE_URL"] = f"sqlite:///{project.folder / 'staging.db'}"


def another_ledger(project: AlembicProject) -> None:
    migrated(project)
    assert project.call("protect").code == 0
    (project.folder / "alias.db").hardlink_to(project.database)
    project.settings('[targets.dev]\nurl = "sqlite:///alias.db"\n')
    project.environ["DATABASE_URL"] = f"sqlite:///{project.folder / 'alias.db'}"


def an_older_ledger(project: AlembicProject) -> None:
    migrated(project)
    assert project.call("protect").code == 0
    with project.ledger() as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE ci_migrate_protection SET protected = (1 = 0)")


STAMP = "ci-migrate stamp r2 --purge --target dev --reason why"
AGAIN = "ci-migrate status --target dev"
ANEW = "ci-migrate run --target dev --allow 'CM503=it begins anew'"
TROUBLES: dict[Trouble, list[str]] = {
    covered: [STAMP, "DELETE FROM alembic_version WHERE version_num = 'r1';"],
    covered_and_known: [STAMP, "DELETE FROM alembic_version WHERE version_num = 'r1';"],
    twice: [STAMP],
    unknown: [AGAIN, "ci-migrate stamp REVISION --purge --target dev --reason why"],
    unknown_but_applied: [AGAIN, "ci-migrate backup restore BACKUP --target dev"],
    unknown_and_the_schema_is_known: [STAMP],
    lost_version_rows: ["ci-migrate stamp r2 --target dev --reason why"],
    emptied: ["ci-migrate backup restore BACKUP --target dev", ANEW],
    emptied_without_a_backup: [ANEW],
    a_copy: ["ci-migrate unprotect --copy --target dev"],
    another_ledger: [AGAIN],
    an_older_ledger: ["ci-migrate protect --target dev"],
}


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
def test_a_trouble_names_commands_and_nothing_else(alembic_project, trouble):
    trouble(alembic_project)
    status = alembic_project.call("status")
    assert status.code == 1, status.text
    assert "TROUBLE" in status.out
    found = [re.sub(r"backup_\w+", "BACKUP", command) for command in commands_to_paste(status.out)]
    assert found == TROUBLES[trouble]
    refused = alembic_project.call("run")
    assert refused.code == 1, refused.text
    assert under_next(refused.out) == under_next(status.out), "the same words, however wide the terminal is"


def test_three_rows_of_which_one_is_of_another_branch(alembic_project):
    alembic_project.revision("side", None, "create table side (id integer primary key)")
    alembic_project.put_version_rows("r1", "r2", "side")
    found = commands_to_paste(alembic_project.call("status").out)
    assert found == ["DELETE FROM alembic_version WHERE version_num = 'r1';"]

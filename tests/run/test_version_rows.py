"""Version rows that make no sense: refused before any backup, with what is known and the command that mends them."""

import re
import shlex

from alembic_project import AlembicProject
from pasted import checked

from ci_migrate.gate import run
from ci_migrate.model import Direction, Report
from ci_migrate.operations.rollback import back_by_restore
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS


def refused(report: Report) -> str:
    assert report.exit_code == 1, report
    assert [r.stage for r in report.results if r.outcome != "skipped"] == ["check"], "before any backup"
    message = report.result("check").message
    assert "Traceback" not in message
    assert checked(message.splitlines()[1:]), "what follows the first line can be pasted"
    return message


def stamp(project: AlembicProject, command: str) -> Report:
    """Do what a message says."""
    words = shlex.split(re.search(r"ci-migrate stamp [^;]*?--reason \w+", command)[0])
    settings = load(project.folder, project.environment(), {})
    request = GateRequest(
        VERBS["stamp"], direction=Direction.STAMP, destination=words[2], purge="--purge" in words, reason="x"
    )
    return run(settings, request)


def test_M9_an_ancestor_beside_its_descendant(alembic_project):
    alembic_project.sql("create table users (id integer primary key, name text, email text)")
    alembic_project.put_version_rows("r1", "r2")
    message = refused(alembic_project.gate("run"))
    assert "has 2 rows (r1, r2) where one is expected: r1 is an ancestor of r2" in message
    assert "ci-migrate stamp r2 --purge --target dev" in message
    assert "DELETE FROM alembic_version WHERE version_num = 'r1'" in message
    assert stamp(alembic_project, message).exit_code == 0
    assert alembic_project.heads == ["r2"]
    assert alembic_project.gate("run").exit_code == 0


def test_M9_three_rows_and_the_same_one_twice(alembic_project):
    alembic_project.revision("side", None, "create table side (id integer primary key)")
    alembic_project.put_version_rows("r1", "r2", "side")
    message = refused(alembic_project.gate("run", "heads"))
    assert "3 rows (r1, r2, side)" in message
    assert "stamp" not in message, "it would take the row of the other branch"
    alembic_project.sql("delete from alembic_version where version_num = 'r1'")
    assert alembic_project.gate("plan", "heads").exit_code == 0, "two real branches are fine"
    alembic_project.put_version_rows("r2", "r2", key="")
    message = refused(alembic_project.gate("run", "heads"))
    assert "r2 stands there twice, so alembic_version lacks its primary key" in message
    assert stamp(alembic_project, message).exit_code == 0
    assert alembic_project.heads == ["r2"]


def test_M9_an_unknown_revision_that_nobody_applied_here(alembic_project):
    alembic_project.put_version_rows("zzz")
    message = refused(alembic_project.gate("run"))
    assert "is at revision zzz, which the scripts do not have. No run of ci-migrate applied it." in message
    assert "ci-migrate stamp REVISION --purge --target dev" in message
    settings = load(alembic_project.folder, alembic_project.environment(), {})
    request = GateRequest(VERBS["stamp"], direction=Direction.STAMP, destination="r2", reason="x")
    assert "stamp r2 --purge" in run(settings, request).result("check").message, "never purged unasked"
    assert alembic_project.heads == ["zzz"]


def test_M9_an_unknown_revision_that_the_ledger_knows(alembic_project):
    assert alembic_project.gate("run").exit_code == 0
    script = alembic_project.revision(
        "other", "r2", "create table other (id integer primary key)", "drop table other"
    )
    done = alembic_project.gate("run")
    assert done.exit_code == 0
    script.unlink()
    message = refused(alembic_project.gate("run"))
    assert f"Run {done.run_id} of" in message
    assert "applied it from migrations/versions/other.py (sha256" in message
    assert f"ci-migrate backup restore {done.backup.backup_id} --target dev" in message
    status = alembic_project.run("status")
    assert status.code == 1, status.text
    assert "TROUBLE" in status.out
    assert done.backup.backup_id in status.out
    settings = load(alembic_project.folder, alembic_project.environment(), {})
    request = GateRequest(VERBS["rollback"], direction=Direction.DOWNGRADE, destination="r2")
    shown = []
    restored = back_by_restore(settings, request, None, sure=lambda _run, backup, lost: shown.append(lost))
    assert restored.exit_code == 0
    assert shown == [{"other": (0, None)}]
    assert alembic_project.heads == ["r2"]
    # taken back by hand, but not in the version table
    alembic_project.sql("update alembic_version set version_num = 'other'")
    message = refused(alembic_project.gate("run"))
    assert "Its schema is the one of r2, as an earlier run measured it." in message
    assert stamp(alembic_project, message).exit_code == 0
    assert alembic_project.heads == ["r2"]


def test_version_rows_that_were_lost_are_known_by_the_schema(alembic_project):
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("delete from alembic_version")
    message = refused(alembic_project.gate("run"))
    assert "has 1 table and no version row" in message
    assert "its version rows were lost" in message
    assert stamp(alembic_project, message).exit_code == 0
    assert alembic_project.heads == ["r2"]


def test_a_database_that_was_never_stamped_is_a_warning_with_the_command(alembic_project):
    alembic_project.sql("create table others (id integer primary key)")
    report = alembic_project.gate("check")
    assert report.exit_code == 0
    (found,) = [f for f in report.findings if f.code == "CM105"]
    assert "1 table and no version row, so all 2 revisions are run" in found.message
    assert "ci-migrate stamp REVISION --target dev --reason why" in found.fix


def test_what_was_changed_outside_is_a_warning_in_words(alembic_project):
    assert alembic_project.gate("run", "r1").exit_code == 0
    alembic_project.sql("create index ix on users (name)")
    alembic_project.sql("alter table users add column x text")
    report = alembic_project.gate("check")
    (found,) = [f for f in report.findings if f.code == "CM501"]
    assert "column users.x added, but not in the dry run; index users.ix added, but not in" in found.message
    assert "ci-migrate verify --target dev" in found.fix

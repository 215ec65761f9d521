"""`ci-migrate migrate`: as run, without the dry run; production refuses it."""

import subprocess
import sys

from ledger_support import runs_of


def test_without_a_dry_run(alembic_project, ledger_of):
    done = alembic_project.call("migrate")
    assert done.code == 0, done.text
    assert done.outcomes == dict.fromkeys(("check", "backup", "migrate", "verify"), "passed")
    assert alembic_project.heads == ["r2"]
    assert runs_of(ledger_of(alembic_project))[0].command == "migrate"


def test_production_refuses_it(alembic_project):
    alembic_project.settings('[targets.live]\nurl = "sqlite:///app.db"\ntags = ["production"]\n')
    done = alembic_project.call("migrate", "--target", "live")
    assert done.code == 1
    assert "`migrate` leaves out the dry run; target live is a production one" in done.text
    assert "Use `ci-migrate run`." in done.text
    assert not alembic_project.database.exists()


def test_the_second_time_there_is_nothing_to_do(migrated):
    before = migrated.dump()
    done = migrated.call("migrate")
    assert done.code == 0, done.text
    assert done.outcomes == {"check": "passed"}
    assert "Nothing to do" in done.words
    assert migrated.dump() == before


def test_without_a_dry_run_nobody_knows_what_a_failed_one_left(alembic_project):
    """Which is what it leaves out: no steps to compare with, so no repair, and nothing is called proved."""
    alembic_project.revision(
        "r3", "r2", "create table t (id integer); insert into nowhere values (1)", "drop table t"
    )
    done = alembic_project.call("migrate")
    assert done.code == 7, done.text
    assert "at r2, but there was no dry run whose steps it could be compared with" in done.words
    assert "ci-migrate backup restore backup_base_" in done.words
    assert alembic_project.heads == ["r2"]
    assert alembic_project.sql("select 1 from sqlite_master where name = 't'") == []
    shown = alembic_project.call("status")
    assert shown.code == 7
    assert "UNFINISHED" in shown.out
    assert "alembic upgrade r3" in shown.out


def test_whole_revisions_stay_by_plain_alembic(alembic_project):
    """What `status` names where the last one fails; without a dry run the end says that nothing was compared."""
    alembic_project.write("other.ini", (alembic_project.folder / "alembic.ini").read_text())
    wrong = "create table t (id integer); insert into nowhere values (1)"
    alembic_project.revision("r3", "r2", wrong, "drop table t")
    failed = alembic_project.call("migrate", "-c", "other.ini")
    assert failed.code == 7, failed.text
    lines = [line.strip() for line in failed.out.splitlines()]
    assert lines[lines.index("Next") :].count("alembic -c other.ini upgrade r3") == 1
    assert "ci-migrate repair --target dev -c other.ini" in lines
    alembic_project.revision("r3", "r2", "create table t (id integer)", "drop table t")
    plain = [sys.executable, "-m", "alembic", "-c", "other.ini", "upgrade", "r3"]
    subprocess.run(plain, check=True, cwd=alembic_project.folder, env=alembic_project.environment())
    repaired = alembic_project.call("repair")
    assert repaired.code == 0, repaired.text
    assert "the target is at r3; there was no dry run to compare with." in repaired.words
    assert "with the schema of the dry run" not in repaired.words
    assert "compared and equal: heads." in repaired.words

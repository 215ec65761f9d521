"""Each exit code by the command itself, as a CI runs it; and the reports that every way out leaves behind."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from ci_migrate.errors import EXIT_CODE_MEANING, ExitCode

SLOW = "import time; time.sleep({})"
MIGRATES = 'os.environ.get("CI_MIGRATE_STAGE") == "migrate"'
"""What a revision asks to misbehave on the target only."""


def junit(project) -> dict[str, type | None]:
    """Each test case of junit.xml with what it ended as; read back by junitparser."""
    cases = {}
    for suite in JUnitXml.fromfile(str(project.reports / "junit.xml")):
        for case in suite:
            assert len(case.result) <= 1
            cases[case.name] = type(case.result[0]) if case.result else None
            for result in case.result:
                assert result.text, "GitLab reads only the text"
                assert "Traceback" not in (result.message or "")
    assert cases
    return cases


def ended(done, code: int, *words: str) -> None:
    """It ended with this code, said these words, and showed no traceback."""
    assert done.code == code, done.text
    assert "Traceback (most recent call last)" not in done.text
    for word in words:
        assert word in " ".join(done.text.split()), (word, done.text)


def fails_on_the_target(project, name="r3", down="r2", *, before="") -> None:
    """A revision that passes in the dry run and fails on the target."""
    project.revision(
        name,
        down,
        f'import os\n{before}\nif {MIGRATES}:\n    raise RuntimeError("boom on the target")\n'
        'op.execute("create table more (id integer)")',
    )


# --------------------------------------------------------------------------- 0


def test_0_migrated_then_nothing_pending(alembic_project):
    done = alembic_project.run("run")
    ended(done, 0, "OK. The database is migrated: now at r2.")
    assert alembic_project.heads == ["r2"]
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    assert {k: v for k, v in junit(alembic_project).items() if v not in (None, Skipped)} == {}

    before = sorted((alembic_project.folder / ".ci-migrate" / "backups").iterdir())
    done = alembic_project.run("run")
    ended(done, 0, "Nothing to do", "untouched, still at r2")
    assert done.outcomes == {"check": "passed"}
    assert sorted((alembic_project.folder / ".ci-migrate" / "backups").iterdir()) == before, (
        "nothing pending: no backup"
    )


def test_0_without_any_settings(alembic_project):
    (alembic_project.folder / "ci-migrate.toml").unlink()
    ended(alembic_project.run("run"), 0, "now at r2")
    assert alembic_project.heads == ["r2"]


def test_the_table_of_codes_is_in_the_help(alembic_project):
    out = alembic_project.run("--help").out
    for code in ExitCode:
        assert f"{int(code)} " in out
        assert EXIT_CODE_MEANING[code] in " ".join(out.split())


# --------------------------------------------------------------------------- 1


def test_1_a_check_refuses(alembic_project):
    alembic_project.revision("r2b", "r1", "pass")
    done = alembic_project.run("run")
    ended(done, 1, "CM101 single-head", "REFUSED (exit 1)")
    assert done.outcomes == {"check": "failed"}
    assert junit(alembic_project)["check"] is Failure
    assert alembic_project.heads == []
    assert not (alembic_project.folder / ".ci-migrate" / "backups").exists()


def test_1_the_dry_run_refuses(alembic_project):
    alembic_project.revision("r3", "r2", "insert into nowhere values (1)")
    done = alembic_project.run("run")
    ended(done, 1, "Revision r3 fails on a copy of the data", "migrations/versions/r3.py", "untouched")
    assert done.outcomes == {"check": "passed", "backup": "passed", "dry-run": "failed"}
    assert done.stage("dry-run")["file"] == "migrations/versions/r3.py"
    assert junit(alembic_project)["dry-run"] is Failure
    assert junit(alembic_project)["migrate"] is Skipped
    assert alembic_project.heads == []


def test_1_an_unknown_destination(alembic_project):
    ended(alembic_project.run("run", "--to", "nonsense"), 1, "nonsense", "untouched")


def test_M9_1_the_database_is_at_a_revision_that_the_scripts_lack(alembic_project):
    alembic_project.sql("create table alembic_version (version_num varchar(32) primary key)")
    alembic_project.sql("insert into alembic_version values ('zzz')")
    for command in ("run", "plan", "status"):
        ended(alembic_project.run(command), 1, "zzz")
    assert alembic_project.heads == ["zzz"]


# --------------------------------------------------------------------------- 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "--nope"], "--nope"),
        (["rnu"], "Did you mean run?"),
        (["rollback"], "--to"),
        (["token", "generate"], "--reason"),
        (["run", "--target", "nowhere"], "There is no target named"),
        (["run", "--report", "pdf=x.pdf"], "The formats are"),
        (["run", "--report", "junit"], "FORMAT=PATH"),
        (["run", "--allow", "CM201"], "CODE@REVISION=REASON"),
        (["run", "--token-file", "nowhere"], "nowhere"),
        (["run", "-c", "nowhere.ini"], "nowhere.ini"),
    ],
)
def test_2_usage(alembic_project, arguments, words):
    ended(alembic_project.run(*arguments), 2, words)
    assert not alembic_project.database.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("[targets.dev\nurl = 1", "no valid TOML"),
        ('bakup-dir = "x"\n', 'the nearest is "backup-dir"'),
        ('[targets.dev]\nurl = "sqlite:///app.db"\nkeep-backups = -1\n', "keep-backups"),
        ('[targets.dev]\nurl = "env:NOT_SET_ANYWHERE"\n', "NOT_SET_ANYWHERE"),
        ('[targets.dev]\nurl = "nonsense"\n', "url"),
        ('[targets.dev]\nurl = "oracle://h/x"\n', "oracle"),
        ('[targets.a]\nurl = "sqlite:///a"\n[targets.b]\nurl = "sqlite:///b"\n', "a, b"),
        ('plugins = ["not_there.py"]\n', "not_there.py"),
        (
            '[targets.dev]\nurl = "sqlite:///app.db"\ndatabases = {two = "postgresql://h/two"}\n',
            "the databases of one target are of one engine",
        ),
    ],
)
def test_2_settings(alembic_project, settings, words):
    alembic_project.settings(settings)
    done = alembic_project.run("run")
    ended(done, 2, words, "USAGE (exit 2). The database is untouched.")
    assert junit(alembic_project)["check"] is Error
    assert done.report["command"] == "run"


def test_2_no_alembic_project(alembic_project):
    (alembic_project.folder / "alembic.ini").unlink()
    for command in ("run", "status"):
        ended(alembic_project.run(command), 2, "No Alembic project here")


def test_2_no_such_folder_and_none_is_made(alembic_project):
    ended(alembic_project.run("-C", "nonsense", "run"), 2, "There is no folder nonsense")
    assert not (alembic_project.folder / "nonsense").exists()


def test_c_runs_as_if_started_there(alembic_project):
    place = alembic_project.folder
    outside = type(alembic_project)(place.parent)
    done = outside.run("-C", "project", "run", "--report", "markdown=more/summary.md", "--junit-xml", "j.xml")
    ended(done, 0)
    assert (place / ".ci-migrate" / "reports" / "report.json").exists()
    assert (place / "more" / "summary.md").exists()
    assert (place / "j.xml").exists()
    assert sorted(p.name for p in place.parent.iterdir()) == ["project"]


# --------------------------------------------------------------------------- 3

BREAKS = """
from ci_migrate import hookimpl
from ci_migrate.databases.base import DatabaseFactory
from ci_migrate.databases.sqlite.database import SQLite

class Broken(SQLite):
    {method}

import ci_migrate.databases as built_in
built_in.BUILT_IN = ()

@hookimpl
def ci_migrate_databases():
    return [DatabaseFactory(backends=("sqlite",), make=lambda url, o: Broken(url, application_name=o.application_name))]
"""


def broken(project, method: str) -> None:
    """An installed plugin breaks the engine: those that the settings name come too late for that."""
    project.write("site/broken.py", BREAKS.format(method=method))
    project.write("site/broken-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    project.write("site/broken-1.0.dist-info/entry_points.txt", "[ci_migrate]\nbroken = broken\n")
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    project.environ["PYTHONPATH"] = str(project.folder / "site")


def test_3_a_bug_inside_a_stage(alembic_project):
    broken(alembic_project, "def dump(self, *a, **k): raise RuntimeError('core is broken')")
    done = alembic_project.run("run")
    ended(done, 3, "Bug in ci-migrate: RuntimeError: core is broken", "untouched")
    assert junit(alembic_project)["backup"] is Error
    assert junit(alembic_project)["migrate"] is Skipped
    assert alembic_project.heads == []


def test_3_a_bug_before_the_first_stage(alembic_project):
    broken(alembic_project, "def ping(self): raise RuntimeError('core is broken')")
    done = alembic_project.run("run")
    ended(done, 3, "Bug in ci-migrate: RuntimeError: core is broken")
    assert junit(alembic_project)["check"] is Error


def test_3_in_a_command_that_is_no_pipeline_and_with_debug(alembic_project):
    broken(alembic_project, "def ping(self): raise RuntimeError('core is broken')")
    ended(alembic_project.run("status"), 3, "Bug in ci-migrate: RuntimeError: core is broken", "--debug")
    done = alembic_project.run("--debug", "status")
    assert done.code == 3
    assert "Traceback (most recent call last)" in done.err


# --------------------------------------------------------------------------- 5


def test_5_another_run_holds_the_lock(alembic_project):
    first = alembic_project.run("run", "--to", "r1")
    ended(first, 0)
    alembic_project.revision(
        "r2", "r1", f"import os\nif {MIGRATES}:\n    open('started', 'w').close()\n    {SLOW.format(6)}"
    )
    child = alembic_project.start("run")
    while not (alembic_project.folder / "started").exists():
        assert child.poll() is None, child.communicate()
        os.sched_yield()
    shutil.rmtree(alembic_project.reports)
    done = alembic_project.run("run")
    ended(done, 5, "LOCKED (exit 5)")
    assert junit(alembic_project)["check"] is Failure
    assert child.wait(60) == 0, child.communicate()
    child.communicate()


# --------------------------------------------------------------------------- 6 and 7


def test_6_failed_and_back_as_it_was(alembic_project):
    ended(alembic_project.run("run"), 0)
    alembic_project.sql("insert into users values (1, 'ana', null)")
    before = alembic_project.dump()
    fails_on_the_target(alembic_project, before='op.execute("update users set name = null")')
    alembic_project.settings('allow = ["CM602=is meant"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    done = alembic_project.run("run")
    ended(done, 6, "boom on the target", "(exit 6)", "as it was before")
    assert alembic_project.dump() == before
    assert junit(alembic_project)["migrate"] is Failure
    assert junit(alembic_project)["repair"] is None
    ended(alembic_project.run("status"), 0, "exit 6")


def test_7_a_good_prefix_is_kept(alembic_project):
    fails_on_the_target(alembic_project)
    done = alembic_project.run("run")
    ended(done, 7, "boom on the target", "The target is at r2", "(exit 7)")
    assert alembic_project.heads == ["r2"]
    ended(alembic_project.run("status"), 0, "is at r2")


def test_7_what_no_repair_fits(alembic_project):
    ended(alembic_project.run("run"), 0)
    # a commit of its own, and what the dry run has never seen
    alembic_project.revision(
        "r3",
        "r2",
        f"""
        import os
        op.execute("create table half (id integer)")
        if {MIGRATES}:
            import sqlite3
            op.get_bind().commit()
            other = sqlite3.connect("app.db")
            other.execute("create table surprise (id integer)")
            other.commit()
            raise RuntimeError("boom on the target")
        """,
    )
    done = alembic_project.run("run")
    ended(done, 7, "(exit 7)", "ci-migrate repair --target dev", "backup restore backup_r2_")
    assert junit(alembic_project)["repair"] is Failure
    done = alembic_project.run("run")
    ended(done, 7, "did not end", "ci-migrate repair --target dev")
    ended(alembic_project.run("status"), 7, "UNFINISHED", "ci-migrate repair --target dev")
    ended(alembic_project.run("repair", "--dry-run"), 0)
    ended(alembic_project.run("repair"), 7, "(exit 7)")


# --------------------------------------------------------------------------- 8


def test_8_the_server_is_unreachable(alembic_project):
    alembic_project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    url = "postgresql://ana:canary-4711@127.0.0.1:1/shop"
    for command in ("run", "status", "verify", "history"):
        done = alembic_project.run(command, env={"DATABASE_URL": url})
        ended(done, 8, "127.0.0.1")
        assert "canary-4711" not in done.text
    assert junit(alembic_project)["check"] is Error
    assert b"canary-4711" not in alembic_project.everything()


def test_8_the_password_is_wrong(alembic_project, postgresql_url):
    alembic_project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    url = postgresql_url.set(password="canary-4711").render_as_string(hide_password=False)
    done = alembic_project.run("run", env={"DATABASE_URL": url})
    ended(done, 8, "127.0.0.1", "password")
    assert b"canary-4711" not in done.text.encode() + alembic_project.everything()


@pytest.mark.parametrize("content", [b"this is no database " * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_8_the_database_is_no_sqlite_file(alembic_project, content):
    alembic_project.database.write_bytes(content)
    for command in ("run", "status"):
        ended(alembic_project.run(command), 8, "app.db")
    assert alembic_project.database.read_bytes() == content


def test_8_the_database_is_a_folder(alembic_project):
    alembic_project.database.mkdir()
    ended(alembic_project.run("run"), 8, "app.db")


def test_8_backups_can_not_be_written(alembic_project):
    (alembic_project.folder / ".ci-migrate").mkdir()
    (alembic_project.folder / ".ci-migrate" / "backups").write_text("a file")
    done = alembic_project.run("run")
    ended(done, 8, "backups", "untouched")
    assert junit(alembic_project)["backup"] is Error
    assert alembic_project.heads == []


def test_8_backups_can_not_be_written_read_only(alembic_project):
    folder = alembic_project.folder / ".ci-migrate" / "backups"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        ended(alembic_project.run("run"), 8, "Read-only file system", "untouched")
    finally:
        subprocess.run(["umount", folder], check=True)
    assert alembic_project.heads == []


def test_M10_8_env_py_fails_or_exits(alembic_project):
    good = (alembic_project.folder / "migrations" / "env.py").read_text()
    for bad, words in (
        ("raise RuntimeError('boom')\n", "RuntimeError: boom"),
        ("import sys\nsys.exit(0)\n", "env.py"),
        ("import os\nos._exit(3)\n", "3"),
        ("def x(:\n", "SyntaxError"),
    ):
        alembic_project.write("migrations/env.py", bad)
        done = alembic_project.run("check")
        assert done.code in (1, 8), (bad, done.text)
        ended(done, done.code, words)
    alembic_project.write("migrations/env.py", good)
    ended(alembic_project.run("check"), 0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def x(:\n", "SyntaxError"),
        ("import nothing_of_this_name\n", "nothing_of_this_name"),
        ("revision = 'r3'\ndown_revision = 'f00d4711'\ndef upgrade(): pass\n", "f00d4711"),
        (
            "revision = 'r2'\ndown_revision = 'r1'\ndef upgrade(): pass\n",
            "Two revision scripts have the id r2",
        ),
        ("raise SystemExit(0)\n", "sys.exit"),
    ],
    ids=["syntax", "import", "missing-down-revision", "two-of-one-id", "exits"],
)
def test_M9_1_a_broken_revision(alembic_project, text, words):
    alembic_project.write("migrations/versions/r3.py", text)
    done = alembic_project.run("run")
    ended(done, 1, words, "untouched")
    assert not (alembic_project.folder / ".ci-migrate" / "backups").exists()


# --------------------------------------------------------------------------- 130 and 143


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_before_migrate(alembic_project, number, code):
    slow = f"import os\nopen(os.environ['CI_MIGRATE_STAGE'] + '.started', 'w').close()\n{SLOW.format(30)}"
    alembic_project.revision("r3", "r2", slow)
    started = alembic_project.folder / "dry-run.started"
    done = alembic_project.interrupted("run", when=started.exists, number=number)
    ended(done, code, "nterrupted", "untouched")
    assert alembic_project.heads == []
    assert done.report["interrupted"] == code
    assert junit(alembic_project)["dry-run"] is Error
    assert junit(alembic_project)["migrate"] is Skipped
    ended(alembic_project.run("status"), 0, "ci-migrate run --target dev")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_it_migrates(alembic_project, number, code):
    slow = f"import os\nif {MIGRATES}:\n    open('started', 'w').close()\n    {SLOW.format(3)}"
    alembic_project.revision("r3", "r2", slow + '\nop.execute("create table more (id integer)")')
    started = alembic_project.folder / "started"
    done = alembic_project.interrupted("run", when=started.exists, number=number)
    ended(done, code, "nterrupted", "The target is at r2", "ci-migrate run --target dev")
    assert alembic_project.heads == ["r2"], "stopped at a statement boundary"
    ended(alembic_project.run("status"), 0)
    alembic_project.revision("r3", "r2", 'op.execute("create table more (id integer)")')
    ended(alembic_project.run("run"), 0, "now at r3")


def until_it_catches(pid, number):
    """Wait until a process that has just started handles the signal, however busy the machine is."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        time.sleep(4)
        return
    deadline = time.monotonic() + 60
    while not int(status.read_text().split("SigCgt:")[1].split()[0], 16) >> (number - 1) & 1:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_interrupted_before_the_first_stage(alembic_project):
    alembic_project.settings('run-lock-timeout = 60\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    ended(alembic_project.run("run", "--to", "r1"), 0)
    shutil.rmtree(alembic_project.reports)
    lock = next(p for p in alembic_project.folder.iterdir() if p.name.endswith("lock"))
    with lock.open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        child = alembic_project.start("run")
        until_it_catches(child.pid, signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.5)
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 143, out + err
    assert "Traceback" not in out + err
    assert junit(alembic_project)["check"] is Error
    assert json.loads((alembic_project.reports / "report.json").read_text())["exitCode"] == 143


def test_a_second_signal_does_not_spoil_the_report(alembic_project):
    slow = f"import os\nopen('started', 'w').close()\n{SLOW.format(30)}"
    alembic_project.revision("r3", "r2", slow)
    child = alembic_project.start("run")
    while not (alembic_project.folder / "started").exists():
        assert child.poll() is None, child.communicate()
        os.sched_yield()
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGTERM)
    out, err = child.communicate(timeout=30)
    assert child.returncode in (130, 143), out + err
    assert junit(alembic_project)["dry-run"] is Error

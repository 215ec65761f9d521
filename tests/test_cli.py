"""The command line: every verb in a small project, what it prints, and what it never prints."""

import json
import re
import shutil
import sqlite3
import venv

import click
import pytest
from alembic_project import new_project
from junitparser import JUnitXml
from sqlalchemy import create_engine

from ci_migrate.cli import _globals_first
from ci_migrate.commands import load_command
from ci_migrate.verbs import GROUPS, VERBS

CANARY = "canary-4711"


def ended(done, code: int, *words: str) -> str:
    """It ended with this code and said these words, without a traceback. Returns what it printed."""
    text = " ".join(done.text.split())
    assert done.code == code, done.text
    assert "Traceback (most" not in text
    for word in words:
        assert word in text, (word, done.text)
    return done.out


def three_lines(done) -> None:
    """What happened, the database's state, the next command: no more."""
    assert done.out == ""
    assert 1 <= len(done.err.rstrip("\n").splitlines()) <= 3, done.err


@pytest.fixture
def migrated(alembic_project):
    """At r2, with one row; the backup that the run took is of the empty database."""
    assert alembic_project.gate("run").exit_code == 0
    alembic_project.sql("insert into users values (1, 'ana', 'ana@example.com')")
    return alembic_project


def backups(project) -> list[dict]:
    return json.loads(ended(project.run("backup", "list", "--json"), 0))


# --------------------------------------------------------------------------- help


def test_help_has_every_command_in_its_group(alembic_project):
    out = ended(alembic_project.run("--help"), 0)
    for group, verbs in GROUPS.items():
        assert f"{group}:" in out
        for verb in verbs:
            assert f" {verb.name} {verb.words}".rstrip() in " ".join(out.split()) or not verb.words


@pytest.mark.parametrize("name", [name for name in VERBS if " --" not in name])
def test_each_command_has_help(name):
    command = load_command(VERBS[name])
    assert command.name == name.rpartition(" ")[2]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):  # arguments are told in the command's own help
            assert parameter.help, f"{name} {parameter.name}"


def test_no_command_is_a_question_for_help(alembic_project):
    done = alembic_project.run()
    assert done.code == 2
    assert "Usage: ci-migrate" in done.text


def test_version(alembic_project):
    assert re.fullmatch(r"ci-migrate, version \d+\.\d+\.\d+\n", ended(alembic_project.run("--version"), 0))


# --------------------------------------------------------------------------- reading


def test_plan_check_and_dry_run_write_nothing_to_the_target(alembic_project):
    for command in ("plan", "check", "dry-run"):
        ended(alembic_project.run(command), 0, "untouched")
        assert not alembic_project.database.exists()
        assert not (alembic_project.folder / "app.db.ci-migrate").exists(), "no ledger is made"


def test_json_is_alone_on_standard_output(alembic_project):
    done = alembic_project.run("run", "--json")
    report = json.loads(done.out)
    assert report["exitCode"] == done.code == 0
    assert report == json.loads((alembic_project.reports / "report.json").read_text())
    assert "The database is migrated" in done.err


def test_json_of_a_refusal(alembic_project):
    done = alembic_project.run("run", "--json", "--target", "nowhere")
    assert done.code == json.loads(done.out)["exitCode"] == 2


def test_where_the_reports_go(alembic_project):
    flags = [
        "--report-dir",
        "out",
        "--junit-xml",
        "j/unit.xml",
        "--report",
        "markdown=m.md",
        "--report",
        "json=r.json",
    ]
    ended(alembic_project.run("plan", *flags), 0)
    place = alembic_project.folder
    assert sorted(p.name for p in (place / "out").iterdir()) == [
        "ci-migrate.env",
        "codequality.json",
        "report.html",
        "report.json",
        "report.sarif",
        "summary.md",
    ]
    assert (place / "r.json").read_text() == (place / "out" / "report.json").read_text()
    assert (place / "m.md").exists()
    assert sum(len(suite) for suite in JUnitXml.fromfile(str(place / "j" / "unit.xml")))


def test_a_report_that_can_not_be_written_is_a_warning(alembic_project):
    alembic_project.reports.write_text("a file")
    ended(alembic_project.run("run"), 0, "WARNING", "could not be written", "now at r2")
    assert alembic_project.heads == ["r2"]


def test_status_history_verify(migrated):
    ended(
        migrated.run("status"),
        0,
        "is at r2",
        "pending nothing",
        "exit 0, migrated",
        "last proven backup_base_",
    )
    ended(migrated.run("history"), 0, "base -> r2", "exit 0")
    ended(migrated.run("verify"), 0, "As run", "heads and schema are the same")
    migrated.sql("create index ix on users (name)")
    ended(migrated.run("verify"), 1, "index users.ix")
    migrated.sql("drop index ix")
    migrated.sql("update alembic_version set version_num = 'r1'")
    ended(migrated.run("verify"), 1, "it is at r1")
    ended(migrated.run("status"), 0, "is at r1", "pending 1 revision", "next ci-migrate run --target dev")


def test_before_the_first_run(alembic_project):
    ended(
        alembic_project.run("status"),
        0,
        "is at base",
        "no backup was proven yet",
        "ci-migrate run --target dev",
    )
    ended(alembic_project.run("history"), 0, "No run yet")
    ended(alembic_project.run("verify"), 8, "nothing to compare with")
    ended(alembic_project.run("backup", "list"), 0, "No backups")
    ended(alembic_project.run("token", "list"), 0, "No tokens")
    ended(alembic_project.run("repair"), 0, "nothing to repair")
    ended(alembic_project.run("audit", "verify"), 0)
    ended(alembic_project.run("token", "validate"), 4, "The token is empty")


def test_audit(migrated):
    records = [json.loads(line) for line in ended(migrated.run("audit", "show"), 0).splitlines()]
    kinds = [r["kind"] for r in records]
    assert kinds.index("run started") < kinds.index("run finished")
    ended(migrated.run("audit", "verify"), 0, f"{len(records)} records, all in order")
    ledger = sqlite3.connect(migrated.folder / "app.db.ci-migrate")
    table = next(
        name
        for (name,) in ledger.execute("select name from sqlite_master where type = 'table'")
        if "audit" in name
    )
    for (trigger,) in ledger.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        ledger.execute(f'drop trigger "{trigger}"')
    ledger.execute(f"delete from {table} where rowid = (select min(rowid) + 1 from {table})")
    ledger.commit()
    ledger.close()
    ended(migrated.run("audit", "verify"), 1)


def test_settings_never_show_a_password(alembic_project):
    alembic_project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    done = alembic_project.run("settings", env={"DATABASE_URL": f"postgresql://u:{CANARY}@h/x"})
    out = ended(done, 0, "env:DATABASE_URL", "ci-migrate.toml")
    assert CANARY not in out
    values = json.loads(ended(alembic_project.run("settings", "--json", "--backup-dir", "elsewhere"), 0))
    assert values["backup-dir"]["source"] == "--backup-dir"
    assert values["keep-backups"] == {"value": "3", "source": "default"}


# --------------------------------------------------------------------------- going back


def test_rollback(migrated):
    done = migrated.run("rollback", "--to", "r1", "--yes")
    ended(done, 0, "now at r1", "accepted: The downgrade loses column users.email with 1 value")
    assert done.outcomes == dict.fromkeys(("check", "backup", "dry-run", "migrate", "verify"), "passed")
    assert migrated.heads == ["r1"]
    assert migrated.sql("select name from users") == [("ana",)]
    ended(migrated.run("rollback", "--to", "nonsense"), 1, "nonsense")
    ended(migrated.run("rollback", "--to", "r1"), 0, "Nothing to do")


def test_migrate_leaves_out_the_dry_run(alembic_project):
    done = alembic_project.run("migrate")
    ended(done, 0, "now at r2")
    assert "dry-run" not in done.outcomes
    assert done.outcomes["backup"] == "passed"


# --------------------------------------------------------------------------- backups


def test_backup_create_list_show_verify(migrated):
    line = ended(migrated.run("backup", "create"), 0)
    name = line.split()[0]
    assert name.startswith("backup_r2_")
    listed = ended(migrated.run("backup", "list"), 0)
    assert name in listed
    assert re.search(r"backup_base_\S+ .* proven", listed)
    assert "proven" not in next(line for line in listed.splitlines() if name in line), (
        "nobody restored it yet"
    )
    shown = json.loads(ended(migrated.run("backup", "show", name), 0))
    assert shown["rowCounts"]["users"]["rows"] == 1
    assert [b["backupId"] for b in backups(migrated)] == sorted([name, backups(migrated)[0]["backupId"]])
    ended(migrated.run("backup", "verify", name), 0, "have their checksums")
    ended(migrated.run("backup", "verify", name, "--restore"), 0, "restored into a scratch copy")


def test_backups_are_there_when_the_target_is_not(migrated):
    name = backups(migrated)[0]["backupId"]
    migrated.database.write_bytes(b"no database at all " * 500)
    (migrated.folder / "app.db.ci-migrate").write_bytes(b"neither " * 500)
    ended(migrated.run("backup", "list"), 0, name, "not known")
    ended(migrated.run("backup", "show", name), 0)
    ended(migrated.run("backup", "verify", name), 0)


def test_restore_over_a_damaged_file(migrated):
    name = ended(migrated.run("backup", "create"), 0).split()[0]
    migrated.database.write_bytes(b"no database at all " * 500)
    ended(migrated.run("backup", "restore", name, "--yes"), 8, "can't be backed up", "--no-safety-backup")
    ended(migrated.run("backup", "restore", name, "--yes", "--no-safety-backup"), 0, "Restored", "not known")
    assert migrated.sql("select name from users") == [("ana",)]


def test_restore_shows_asks_and_keeps_what_it_replaces(migrated):
    name = ended(migrated.run("backup", "create"), 0).split()[0]
    migrated.sql("insert into users values (2, 'bo', null)")
    before = migrated.dump()
    count = len(backups(migrated))
    ended(migrated.run("backup", "restore", name), 1, "users: 2 rows now, 1 row in the backup", "--yes")
    assert migrated.dump() == before
    done = migrated.run("backup", "restore", name, "--yes")
    ended(done, 0, f"Restored {name}")
    assert migrated.sql("select name from users") == [("ana",)]
    assert len(backups(migrated)) == count + 1
    safety = backups(migrated)[-1]["backupId"]
    assert safety in done.text
    ended(migrated.run("backup", "restore", safety, "--yes", "--no-safety-backup"), 0)
    assert migrated.dump() == before, "and back again"
    ended(
        migrated.run("backup", "restore", safety, "--yes"), 0, "changes within rows since then would be lost"
    )


def test_a_damaged_backup_is_refused_and_the_target_stays(migrated):
    name = ended(migrated.run("backup", "create"), 0).split()[0]
    folder = migrated.folder / "backups" / name
    payload = max((p for p in folder.iterdir() if p.name != "manifest.json"), key=lambda p: p.stat().st_size)
    data = bytearray(payload.read_bytes())
    data[len(data) // 2] ^= 1
    payload.write_bytes(data)
    before = migrated.dump()
    for arguments in (["verify", name], ["verify", name, "--restore"], ["restore", name, "--yes"]):
        done = migrated.run("backup", *arguments)
        ended(done, 8, payload.name)
    assert migrated.dump() == before


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc", "-rf", "", "x" * 300, "backup_r2_20260101_000000", "b\u0430ckup"]
)
def test_no_such_backup(alembic_project, name):
    for verb, flags in (("show", []), ("restore", ["--yes"]), ("delete", ["--yes"])):
        done = alembic_project.run("backup", verb, *flags, "--", name)
        assert done.code in (1, 2, 8), done.text
        assert "Traceback" not in done.text
        three_lines(done)


def test_R10_delete_and_prune_show_first(migrated):
    first = backups(migrated)[0]["backupId"]
    second = ended(migrated.run("backup", "create"), 0).split()[0]
    ended(migrated.run("backup", "delete", second), 0, "Would delete")
    assert len(backups(migrated)) == 2
    ended(migrated.run("backup", "delete", second, "--yes"), 0, "Deleted")
    assert [b["backupId"] for b in backups(migrated)] == [first]
    ended(migrated.run("backup", "prune", "--keep", "1", "--yes"), 0)
    assert [b["backupId"] for b in backups(migrated)] == [first], "never the last proven one"
    for keep in ("0", "-1"):
        done = migrated.run("backup", "prune", f"--keep={keep}", "--yes")
        assert done.code in (1, 2), done.text
    assert len(backups(migrated)) == 1


def test_a_half_written_backup_is_failed(migrated):
    name = ended(migrated.run("backup", "create"), 0).split()[0]
    (migrated.folder / "backups" / name / "manifest.json").unlink()
    listed = ended(migrated.run("backup", "list"), 0)
    assert "FAILED" in next(line for line in listed.splitlines() if name in line)
    for verb in ("verify", "restore"):
        done = migrated.run("backup", verb, name, *(["--yes"] if verb == "restore" else []))
        assert done.code in (1, 8)
    ended(migrated.run("backup", "delete", name, "--yes"), 0)
    assert name not in ended(migrated.run("backup", "list"), 0)


# --------------------------------------------------------------------------- messages and secrets


def test_an_error_has_at_most_three_lines(alembic_project):
    for arguments in (
        ["status", "--target", "nowhere"],
        ["backup", "show", "nothing"],
        ["token", "validate"],
    ):
        three_lines(alembic_project.run(*arguments))
    shutil.rmtree(alembic_project.folder / "migrations")
    three_lines(alembic_project.run("status"))


def test_no_secret_anywhere(alembic_project, postgresql_url):
    """The password in no output, report, ledger or manifest, of a run that goes well and of those that do not."""
    url = postgresql_url.render_as_string(hide_password=False)
    password = postgresql_url.password
    encoded = url.partition(":")[2].partition(":")[2].partition("@127")[0]
    alembic_project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\n')
    alembic_project.environ["DATABASE_URL"] = url
    said = [ended(alembic_project.run("run", "--json", "--to", "r1"), 0)]
    alembic_project.revision("r3", "r2", f'raise RuntimeError("cannot use " + {url!r})')
    said.append(alembic_project.run("run").text)
    assert "Revision r3 fails" in said[-1]
    env = alembic_project.folder / "migrations" / "env.py"
    env.write_text(
        "import os\nprint(os.environ['DATABASE_URL'])\nraise RuntimeError(os.environ['DATABASE_URL'])\n"
    )
    for command in ("run", "status"):
        said.append(alembic_project.run(command).text)
    said += [
        alembic_project.run(*c.split()).text
        for c in ("settings", "history", "audit show", "backup list --json")
    ]
    (alembic_project.folder / "migrations/versions/r3.py").unlink()  # it holds the password itself
    engine = create_engine(postgresql_url.set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        name = f"{postgresql_url.database}_ci_migrate"
        assert connection.exec_driver_sql("select 1 from pg_database where datname = %s", (name,)).scalar()
    engine.dispose()
    ledger = create_engine(postgresql_url.set(drivername="postgresql+psycopg", database=name))
    with ledger.connect() as connection:
        for (table,) in connection.exec_driver_sql(
            "select tablename from pg_tables where tablename like 'ci_migrate%%'"
        ).fetchall():
            said += [str(row) for row in connection.exec_driver_sql(f"select * from {table}")]
    ledger.dispose()
    everything = "\n".join(said).encode() + alembic_project.everything()
    for secret in (password, encoded):
        assert secret.encode() not in everything
    with create_engine(
        postgresql_url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    ).connect() as c:
        c.exec_driver_sql(f'drop database "{name}" with (force)')


def test_the_shell_completes_commands_and_targets(alembic_project) -> None:
    def completed(words: str) -> set[str]:
        given = {
            "_CI_MIGRATE_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = alembic_project.run(env=given)
        assert (done.code, done.err) == (0, "")
        return {line.partition(",")[2] for line in done.out.splitlines() if line}

    alembic_project.settings(
        '[targets.dev]\nurl = "sqlite:///app.db"\n[targets.production]\nurl = "env:URL"\n'
    )
    assert completed("ci-migrate ba") == {"backup"}
    folder = str(alembic_project.folder)
    assert completed(f"ci-migrate -C {folder} run --target p") == {"production"}
    alembic_project.settings("[[[")
    assert completed(f"ci-migrate -C {folder} run --target p") == set()


def test_an_interpreter_without_alembic_is_named(alembic_project, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    done = alembic_project.call("plan", env={"CI_MIGRATE_PYTHON": str(python)})
    assert done.code == 8, done.text
    assert str(python) in done.text
    assert "there is no Alembic in the interpreter" in done.text
    assert "CI_MIGRATE_PYTHON" in done.text


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["run", "-C", "shop", "--debug"], ["-C", "shop", "--debug", "run"]),
        (["-Cshop", "run"], ["-Cshop", "run"]),
        (["run", "--", "-C", "x"], ["run", "--", "-C", "x"]),
        (["run", "-C"], ["-C", "run"]),
    ],
)
def test_what_holds_for_all_commands_may_stand_after_them(given, ordered):
    assert _globals_first(given) == ordered


def test_F53_names_that_are_not_ascii_in_a_locale_that_is_not_utf8(tmp_path):
    project = new_project(tmp_path)
    (tmp_path / "migrations" / "versions" / "r2.py").rename(
        tmp_path / "migrations" / "versions" / "r2_größe.py"
    )
    project.settings('[targets.default]\nurl = "sqlite:///dätä.db"\n')
    ascii_only = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = project.run("run", env=ascii_only)
    assert done.code == 0, done.text
    assert "dätä.db" in done.out
    assert (tmp_path / "dätä.db").exists()
    files = {s["file"] for s in done.stage("dry-run")["evidence"]["statements"]}
    assert "migrations/versions/r2_größe.py" in files

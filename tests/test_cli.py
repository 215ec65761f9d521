"""The command line: help, the error boundary, and what is never printed. Each verb has its own in commands/."""

import json
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import click
import pytest
from alembic_project import COMMAND, ended, new_project
from sqlalchemy import create_engine

from ci_migrate.cli import _folder, _in_order
from ci_migrate.commands import load_command
from ci_migrate.verbs import GROUPS, VERBS

CANARY = "canary-4711"


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
    assert completed("ci-migrate ba") == {"backfill", "backup"}
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
    assert _in_order(given) == ordered


@pytest.mark.parametrize(
    ("given", "folder"),
    [
        ("--debug -C a plan --nope", "a"),
        ("-Ca plan --nope", "a"),
        ("plan --nope -C a", "a"),
        ("--nope -C a plan", "a"),
        ("-C a plan -C b", "b"),
        ("plan -- -C a", "."),
        ("-C", "."),
        ("", "."),
    ],
)
def test_the_folder_is_known_where_the_command_line_is_wrong(given, folder):
    assert _folder(given.split()) == Path(folder)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "--since", "main", "--json"],
        ["show"],
        ["nonsense", "--json"],
        ["plan", "--nonsense", "--json"],
    ],
)
@pytest.mark.parametrize(
    "program",
    [[str(Path(sys.executable).with_name("ci-migrate"))], [sys.executable, "-m", "ci_migrate"]],
    ids=["script", "module"],
)
def test_a_working_folder_that_was_removed(alembic_project, program, arguments):
    gone = alembic_project.folder / "gone"
    gone.mkdir()
    script = 'cd gone && rmdir ../gone && exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *program, *arguments],
        cwd=alembic_project.folder, env=alembic_project.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "Bug" not in done.stderr
    assert "The folder that you are in is gone." in done.stderr or "nonsense" in done.stderr
    if "--json" in arguments:
        assert json.loads(done.stdout)["failure"]["code"] == "usage"


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


# --------------------------------------------------------------------------- bytes that are no text


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--to", "\udcff"),
        ("token", "generate", "--rollback", "--to", "r1", "--reason", "caf\udce9"),
        ("token", "generate", "--rollback", "--to", "r1", "--reason", "x", "--by=\udce9"),
        ("token", "revoke", "\udcff"),
        ("protect", "--freeze", "\udcff"),
        ("\udcff",),
    ],
)
def test_an_argument_that_is_no_text_is_named_and_nothing_is_begun(alembic_project, arguments):
    """As a terminal in Latin-1 sends them: no ledger and no report can hold it."""
    before = alembic_project.everything()
    done = alembic_project.call(*arguments)
    assert done.code == 2, done.text
    three_lines(done)
    bad = next(a for a in arguments if not a.isascii())
    assert f"{bad!a} is not UTF-8" in done.err
    assert alembic_project.everything() == before


def test_a_file_may_have_any_name(alembic_project):
    file = alembic_project.write("caf\udce9.json", "{}")
    done = alembic_project.call("approve", "--key", "key", "--reason", "x", str(file))
    assert done.code == 2
    assert "is no approval request" in done.err, "it was read"


@pytest.mark.parametrize("name", ["PGPASSWORD", "CI_MIGRATE_TOKEN", "GITHUB_ACTOR", "DATABASE_URL_OF_OTHERS"])
def test_an_environment_that_is_no_text_stops_nobody(alembic_project, name):
    """A password may be any bytes, and whoever started the job may be called as they like."""
    done = alembic_project.call(
        "run", env={name: "postgresql://ana:s\udcffcret@db/shop" if "URL" in name else "s\udcffcret"}
    )
    assert done.code == 0, done.text
    with alembic_project.ledger() as ledger:
        (run,) = ledger.history(ledger.database_id(None))
        assert run.actor == ("s\\udcffcret" if name == "GITHUB_ACTOR" else run.actor)
        assert ledger.verify_audit() == []


def test_standard_streams_that_are_closed_are_devnull_for_us_and_for_children(alembic_project):
    """A file that is opened next would get their numbers, and what a child prints would go into it."""
    alembic_project.revision(
        "r3", "r2", 'print("printed", flush=True); import os; os.write(2, b"printed")', "pass"
    )
    code = "import os, sys; [os.close(n) for n in (0, 1, 2)]; os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "run"],
        cwd=alembic_project.folder,
        env=alembic_project.environment(),
        check=False,
    )
    assert done.returncode == 0
    assert alembic_project.heads == ["r3"]
    for file in alembic_project.folder.rglob("*"):
        assert (
            file.suffix in (".py", ".pyc", ".xml")
            or not file.is_file()
            or b"printed" not in file.read_bytes()
        ), file
    for closed in ("<&-", ">&-", "2>&-"):
        done = subprocess.run(
            ["sh", "-c", f'"$@" status {closed}', "sh", *COMMAND],
            cwd=alembic_project.folder,
            env=alembic_project.environment(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (closed, done)

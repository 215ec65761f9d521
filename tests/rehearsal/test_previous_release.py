"""The tests of the release that runs now: on a migrated copy of their own, with nothing that leads to the target."""

import sys

import pytest

DEV = '\n[targets.dev]\nurl = "sqlite:///app.db"\n'
UP, DOWN = "alter table users add age integer", "alter table users drop column age"


def command(code: str, **more: str) -> str:
    lines = [f"{name.replace('_', '-')} = {value!r}" for name, value in more.items()]
    return "\n".join([f"previous-release = [{sys.executable!r}, '-c', '''{code}''']", *lines, DEV])


def said(report) -> list[str]:
    return [f.message for f in report.findings if f.code == "CM605"]


def test_what_it_writes_is_neither_in_the_target_nor_in_the_evidence(rehearse, filled):
    code = """
import os, sqlite3
database = sqlite3.connect(os.environ["DATABASE_URL"].partition("///")[2])
database.execute("delete from users")
database.execute("create table mine (id integer)")
database.commit()
"""
    filled.settings(command(code))
    report = rehearse(UP, DOWN)
    assert report.exit_code == 0, report
    assert report.evidence.tables["users"].after.rows == 3
    assert not any("mine" in change.name for change in report.evidence.changes)
    assert report.evidence.way_back.proven, "it went back on the other copy"


def test_it_meets_the_migrated_schema_in_the_project_s_folder(rehearse, filled):
    code = """
import os, sqlite3, pathlib
assert pathlib.Path("alembic.ini").exists()
assert os.environ["CI_MIGRATE_STAGE"] == "dry-run"
database = sqlite3.connect(os.environ["SHOP_URL"].partition("///")[2])
assert database.execute("select count(age), count(*) from users").fetchone() == (0, 3)
"""
    filled.settings(command(code, previous_release_variable="SHOP_URL"))
    report = rehearse(UP, DOWN)
    assert said(report) == [], report.result("dry-run").details


def test_no_variable_leads_to_the_target_or_permits_something(rehearse, filled):
    code = """
import os
found = sorted(n for n, v in os.environ.items() if "app.db" in v or n in ("CI_MIGRATE_TOKEN", "CI_MIGRATE_URL"))
assert not found, found
"""
    filled.environ.update(LIVE=f"sqlite:///{filled.database}", CI_MIGRATE_TOKEN="t")
    filled.settings(command(code).replace('"sqlite:///app.db"', '"env:LIVE"'))
    report = rehearse(UP, DOWN)
    assert said(report) == [], report.result("dry-run").details


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise SystemExit(3)", "ended with 3: it printed nothing"),
        ("print('one'); print('two  '); print(); raise SystemExit(1)", "ended with 1: two"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
        ("print('x' * 5000); raise SystemExit(1)", "x" * 200 + "."),
        ("import sys; sys.stdout.buffer.write(b'caf\\xe9'); sys.exit(1)", "ended with 1: caf"),
    ],
)
def test_how_it_ended(rehearse, filled, code, words):
    filled.settings(command(code))
    report = rehearse(UP, DOWN)
    assert report.exit_code == 1
    (message,) = said(report)
    assert words in message
    assert [f.fix for f in report.findings if f.code == "CM605"] == [
        "Expand first, contract in a later release."
    ]


def test_what_it_printed_holds_no_secret(rehearse, filled):
    filled.environ["PGPASSWORD"] = "hunter2-4711"
    filled.settings(
        command("import os; print(os.environ.get('PGPASSWORD')); print('hunter2-4711'); raise SystemExit(1)")
    )
    report = rehearse(UP, DOWN)
    assert "hunter2" not in f"{said(report)} {report.result('dry-run').details}"


def test_where_the_migration_fails_it_is_not_asked(rehearse, filled):
    filled.settings(command("import pathlib; pathlib.Path('asked').touch()"))
    assert rehearse("insert into nowhere values (1)").exit_code == 1
    assert not (filled.folder / "asked").exists()


def test_no_copy_is_left(rehearse, filled):
    filled.settings(command("raise SystemExit(1)"))
    rehearse(UP, DOWN)
    assert not list(filled.folder.rglob("*_old*"))

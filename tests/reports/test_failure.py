"""What a program reads of a failure: nothing of it may be missing, whatever failed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
from alembic_project import ended
from msgspec.structs import replace

from ci_migrate import errors
from ci_migrate.checks import BUILT_IN
from ci_migrate.checks.base import OTHER_CODES
from ci_migrate.errors import CiMigrateError, ExitCode
from ci_migrate.gate import UnfinishedRunError, error_report
from ci_migrate.model import Diagnosis, Finding, Outcome, Progress, Report, Severity, StageResult
from ci_migrate.reports.clean import clean_report
from ci_migrate.reports.failure import (
    FIXES,
    UNKNOWN,
    all_codes,
    failure_of_error,
    failure_of_report,
    report_findings,
)
from ci_migrate.reports.json_report import JsonReporter
from ci_migrate.verbs import VERBS

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "report.schema.json").read_bytes())


def error_classes() -> list[type[CiMigrateError]]:
    """All of them, those in other modules, too."""
    left, found = [CiMigrateError], []
    while left:
        kind = left.pop()
        left += kind.__subclasses__()
        if kind.__module__.startswith("ci_migrate."):
            found.append(kind)
    return found


def holds(failure) -> None:
    """All that it takes to go on without reading prose."""
    assert failure.code in all_codes() or re.fullmatch(r"CM\d{3}", failure.code)
    assert failure.exit_code
    assert failure.message
    assert failure.state
    assert failure.fix
    assert failure.fix != UNKNOWN
    assert failure.next
    assert all(command.command for command in failure.next)


def test_each_error_has_a_code_of_its_own():
    """A subclass elsewhere is of its parent's kind; in errors.py each kind has a name."""
    here = [kind for kind in error_classes() if kind.__module__ == errors.__name__]
    assert len({kind.code for kind in here}) == len(here) > 10


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_an_error_carries_all(kind, tmp_path):
    error = CiMigrateError.__new__(kind)
    CiMigrateError.__init__(error, "It broke.", file=str(tmp_path / "migrations" / "env.py"), line=7)
    if isinstance(error, UnfinishedRunError):
        error.diagnosis = Diagnosis(found=Progress.UNKNOWN, words="it was killed")
    failure = failure_of_error(error, int(error.exit_code), "", tmp_path)
    holds(failure)
    assert (failure.code, failure.file, failure.line) == (kind.code, "migrations/env.py", 7)
    # the same at a stage, and before the first one
    report = error_report(VERBS["check"], "dev", error, tmp_path)
    told = failure_of_report(clean_report(report))
    assert told is not None
    holds(told)
    assert (told.code, told.file, told.line) == (kind.code, "migrations/env.py", 7)


@pytest.mark.parametrize(
    ("error", "exit_code", "code"),
    [
        (ValueError("x"), ExitCode.BUG, "bug"),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (SystemExit(), ExitCode.TERMINATED, "interrupted"),
        (ValueError("x"), ExitCode.USAGE, "usage"),
    ],
)
def test_what_is_no_error_of_ours_carries_all(tmp_path, error, exit_code, code):
    failure = failure_of_error(error, int(exit_code), "It broke.", tmp_path)
    holds(failure)
    assert failure.code == code
    assert ("status" in failure.state) == (code == "bug"), "after a bug nobody knows"


@pytest.mark.parametrize("stage", VERBS["run"].stages)
def test_a_stage_that_says_no_carries_all(samples, stage):
    result = StageResult(stage=stage, outcome=Outcome.FAILED, message="No.")
    report = Report(
        run_id="1", command="run", target="dev", started=samples.STARTED, version="1", results=(result,)
    )
    failure = failure_of_report(report)
    assert failure is not None
    holds(failure)
    assert failure.code == f"{stage}-failed"
    missing = failure_of_report(replace(report, results=(replace(result, exit_code=4),)))
    assert missing is not None
    assert missing.code == "not-approved"


def test_each_sample_that_is_not_green_has_its_failure(sample):
    document = json.loads(JsonReporter().render(sample))
    jsonschema.validate(document, SCHEMA)
    assert (document["failure"] is None) == (document["exitCode"] == 0)
    if document["failure"]:
        assert document["failure"]["exitCode"] == document["exitCode"]
        holds(failure_of_report(clean_report(sample)))


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_what_the_page_types_into_jq(alembic_project):
    """Of a green run nothing, of another one object: `.failure` is null, and `.next[]` made an object for each."""
    (script,) = re.findall(
        r"^ci-migrate check --json \| jq '(.*)'$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE
    )

    def ask(*command):
        done = alembic_project.call(*command, "--json")
        jq = subprocess.run(["jq", "-c", script], input=done.out, capture_output=True, text=True, check=False)
        assert jq.returncode == 0, jq.stderr
        return done.code, [json.loads(line) for line in jq.stdout.splitlines()]

    assert ask("check") == (0, [])
    alembic_project.settings('require-downgrade = true\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    alembic_project.revision("r3", "r2", "create table more (id integer)", "pass")
    code, (told,) = ask("check")
    assert code == 1
    assert told["code"] == "CM401"
    assert len(told["next"]) > 1
    code, (told,) = ask("check", "--nonsense")
    assert (code, told["code"]) == (2, "usage")


@pytest.mark.parametrize("command", ["status", "doctor", "verify", "wait --timeout 0.1"])
def test_an_answer_in_full_has_no_failure(alembic_project, command):
    """docs/errors.md says so: their answer is why they do not end with 0."""
    assert ended(alembic_project.call("run", "--to", "r1"), 0)
    alembic_project.sql("create table more (id integer)")
    alembic_project.sql("update alembic_version set version_num = 'nowhere'")
    done = alembic_project.call(*command.split(), "--json")
    assert done.code != 0
    answer = json.loads(done.out)
    assert answer
    assert not isinstance(answer, dict) or "failure" not in answer


def test_each_code_is_explained(alembic_project):
    sections = re.findall(r"^## (.*)$", (ROOT / "docs" / "errors.md").read_text(), re.MULTILINE)
    assert sections == sorted(all_codes())
    assert set(sections) <= set(FIXES)
    for code in sections:
        assert ended(alembic_project.call("explain", code), 0).startswith(f"# {code}\n")


def test_each_finding_says_what_to_do():
    """By the check itself, which knows the names; else by its code."""
    assert {check.code for check in BUILT_IN} | set(OTHER_CODES) <= set(FIXES)


@pytest.mark.parametrize("code", sorted({check.code for check in BUILT_IN} | set(OTHER_CODES)))
def test_a_finding_carries_all(samples, code):
    finding = Finding(
        code=code, name="name", severity=Severity.ERROR, message="Bad.", revision="3f2a", fix="Do it."
    )
    result = StageResult(
        stage="check", outcome=Outcome.FAILED, message="Bad.", findings=(finding,), plan=samples.plan()
    )
    report = Report(
        run_id="1", command="run", target="shop", started=samples.STARTED, version="1", results=(result,)
    )
    (told,) = report_findings(report)
    assert (told.file, told.line, told.fix) == ("migrations/versions/3f2a_add_email.py", 1, "Do it.")
    assert [command.command for command in told.next] == [
        f"ci-migrate explain {code}",
        "ci-migrate dry-run --target shop",
    ]
    failure = failure_of_report(report)
    assert failure is not None
    holds(failure)
    assert (failure.code, failure.file, failure.line, failure.fix) == (code, told.file, 1, "Do it.")
    # what somebody means needs nothing
    meant = replace(finding, acknowledged="moved")
    (told,) = report_findings(replace(report, results=(replace(result, findings=(meant,)),)))
    assert told.next == ()


# --------------------------------------------------------------------------- as a program meets it


def failure_printed(done) -> dict:
    document = json.loads(done.out)
    assert document["format"] == 1
    assert document["exitCode"] == done.code
    return document["failure"]


@pytest.mark.parametrize("command", ["check", "plan", "status", "dry-run"])
def test_a_script_that_cannot_be_loaded(alembic_project, command):
    alembic_project.write(
        "migrations/versions/r3.py", 'revision = "r3"\ndown_revision = "r2"\ndef upgrade(:\n'
    )
    failure = failure_printed(alembic_project.call(command, "--json"))
    assert (failure["code"], failure["file"], failure["line"]) == ("refused", "migrations/versions/r3.py", 3)


def test_a_statement_that_fails_in_the_dry_run(alembic_project):
    alembic_project.revision("r3", "r2", "insert into nowhere values (1)")
    done = alembic_project.call("dry-run", "--json")
    failure = failure_printed(done)
    assert failure["code"] == "dry-run-failed"
    assert failure["file"] == "migrations/versions/r3.py"
    assert (
        "insert into nowhere"
        in (alembic_project.folder / failure["file"]).read_text().splitlines()[failure["line"] - 1]
    )
    assert "ci-migrate dry-run --target dev" in [command["command"] for command in failure["next"]]


@pytest.mark.parametrize("command", ["check", "status", "history", "settings", "doctor"])
def test_a_setting_that_makes_no_sense(alembic_project, command):
    alembic_project.settings('[targets.dev]\nurl = "sqlite:///app.db"\nkeep-backup = 1\n')
    failure = failure_printed(alembic_project.call(command, "--json"))
    assert (failure["code"], failure["file"]) == ("settings", "ci-migrate.toml")
    assert 'the nearest is "keep-backups"' in failure["message"]


@pytest.mark.parametrize("command", ["check", "status", "history", "settings", "doctor"])
def test_an_option_that_there_is_not(alembic_project, command):
    assert failure_printed(alembic_project.call(command, "--json", "--nope"))["code"] == "usage"


def test_a_bug_in_a_command_without_a_report(alembic_project, monkeypatch):
    monkeypatch.setattr("ci_migrate.commands.history.past_runs", lambda *_: 1 / 0)
    failure = failure_printed(alembic_project.call("history", "--json"))
    assert (failure["code"], failure["exitCode"]) == ("bug", 3)


def test_without_json_standard_output_stays_as_it_was(alembic_project):
    assert alembic_project.call("history", "--nope").out == ""

"""A report: what it tells at the top, and the one place where an exit code is decided."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.errors import EXIT_CODE_MEANING, ExitCode
from ci_migrate.model import (
    Comparison,
    Finding,
    Outcome,
    Report,
    Severity,
    StageResult,
    TargetState,
)


def report(*results: StageResult, interrupted: int | None = None) -> Report:
    return Report(
        run_id="1", command="run", target="dev", started=datetime(2026, 1, 1, tzinfo=UTC), version="0",
        results=results, interrupted=interrupted,
    )  # fmt: skip


def ended(stage: str, outcome: str = "passed", **more) -> StageResult:
    return StageResult(stage=stage, outcome=Outcome(outcome), **more)


def finding(code: str, severity: str = "error", **more) -> Finding:
    return Finding(code=code, name=code.lower(), severity=Severity(severity), message="m", **more)


# ------------------------------------------------------------------ the exit code


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ((), ExitCode.OK),
        ((ended("check"), ended("backup", "skipped")), ExitCode.OK),
        # what a check says no to, and what broke before it could say anything
        ((ended("check", "failed"),), ExitCode.REFUSED),
        ((ended("check", "error"),), ExitCode.COULD_NOT_TELL),
        # an error brings its own
        ((ended("check", "error", exit_code=5),), ExitCode.LOCKED),
        ((ended("approve", "failed", exit_code=4),), ExitCode.NOT_APPROVED),
        # the first bad stage counts, not one after it
        ((ended("check", "error", exit_code=2), ended("repair", "failed")), ExitCode.USAGE),
        # migrate began and wrote nothing
        ((ended("migrate", "failed", state=TargetState.UNTOUCHED),), ExitCode.REFUSED),
        ((ended("migrate", "error", exit_code=8),), ExitCode.COULD_NOT_TELL),
        ((ended("migrate", "skipped"), ended("approve", "failed", exit_code=4)), ExitCode.NOT_APPROVED),
        # after migrate only the state counts, whatever the error's own code says
        (
            (ended("migrate", "failed", exit_code=8, state=TargetState.UNKNOWN),),
            ExitCode.FAILED_DIRTY,
        ),
        (
            (
                ended("migrate", "failed", state=TargetState.UNKNOWN),
                ended("repair", state=TargetState.AS_BEFORE),
            ),
            ExitCode.FAILED_RESTORED,
        ),
        (
            (
                ended("migrate", "failed", state=TargetState.UNKNOWN),
                ended("repair", state=TargetState.KEPT_PREFIX),
            ),
            ExitCode.FAILED_DIRTY,
        ),
        # it migrated, and nobody could prove what came of it
        (
            (ended("migrate", state=TargetState.MIGRATED), ended("verify", "failed")),
            ExitCode.FAILED_DIRTY,
        ),
        # the same without migrate is a question that was answered: verify alone wrote nothing
        ((ended("verify", "failed"),), ExitCode.REFUSED),
    ],
)
def test_the_exit_code_of_results(results, code):
    assert report(*results).exit_code is code


@pytest.mark.parametrize("number", [130, 143])
def test_an_interrupted_run_says_so_whatever_else_happened(number):
    results = (ended("migrate", "failed", state=TargetState.UNKNOWN),)
    assert report(*results, interrupted=number).exit_code == number
    assert report(interrupted=number).exit_code == number


RESULTS = st.lists(
    st.builds(
        StageResult,
        stage=st.sampled_from(["check", "migrate", "verify", "repair"]),
        outcome=st.sampled_from(Outcome),
        exit_code=st.none() | st.sampled_from([1, 2, 4, 5, 8]),
        state=st.none() | st.sampled_from(TargetState),
    ),
    max_size=4,
)


@given(RESULTS)
def test_only_what_is_all_green_ends_in_zero(results):
    """Whatever the stages are: a bad one is never exit 0, and each code has a meaning."""
    found = report(*results)
    bad = [r for r in results if r.outcome in (Outcome.FAILED, Outcome.ERROR)]
    assert (found.exit_code == 0) == (not bad)
    assert found.exit_code in EXIT_CODE_MEANING
    if bad and found.result("migrate") and found.state is TargetState.UNKNOWN:
        assert found.exit_code is ExitCode.FAILED_DIRTY


# ------------------------------------------------------------------ what it tells


def test_a_report_grows_and_the_one_before_stays():
    before = report(ended("check"))
    after = before.plus(ended("backup"))
    assert [r.stage for r in before.results] == ["check"]
    assert [r.stage for r in after.results] == ["check", "backup"]


def test_a_stage_by_its_name():
    found = report(ended("check", message="one"), ended("check", message="two"))
    assert found.result("check").message == "one"
    assert found.result("backup") is None


def test_the_last_word_counts():
    found = report(
        ended("migrate", "failed", state=TargetState.UNKNOWN, proof=Comparison(compared=("heads",))),
        ended("repair", state=TargetState.AS_BEFORE),
        ended("later"),
    )
    assert found.state is TargetState.AS_BEFORE
    assert found.proof == Comparison(), "not the proof of the state before"
    assert (found.plan, found.backup, found.evidence, found.approval, found.diagnosis) == (None,) * 5


def test_a_report_in_which_nobody_says_a_state_is_of_an_untouched_target():
    assert report(ended("check", "error")).state is TargetState.UNTOUCHED
    assert report().proof == Comparison()


def test_findings_of_all_stages_worst_first():
    accepted = finding("CM101", acknowledged="it is meant")
    found = report(
        ended("check", findings=(finding("CM401", "info"), accepted, finding("CM301", "warning"))),
        ended("dry-run", findings=(
            finding("CM202", revision="r2"), finding("CM202"), finding("CM202", revision="r1"), finding("CM201"),
        )),
    ).findings  # fmt: skip
    assert [(f.code, f.revision) for f in found] == [
        ("CM201", None),
        ("CM202", None),
        ("CM202", "r1"),
        ("CM202", "r2"),
        ("CM101", None),  # an error that is accepted refuses nothing
        ("CM301", None),
        ("CM401", None),
    ]


@pytest.mark.parametrize(
    ("severity", "acknowledged", "refuses"),
    [
        ("error", None, True),
        ("error", "it is meant", False),
        ("error", "", False),
        ("warning", None, False),
        ("info", None, False),
    ],
)
def test_only_an_error_that_nobody_accepted_refuses(severity, acknowledged, refuses):
    assert finding("CM101", severity, acknowledged=acknowledged).refuses is refuses


def test_a_skipped_stage_is_not_bad():
    assert report(ended("check"), ended("backup", "skipped")).first_bad is None
    assert report(ended("check", "skipped"), ended("backup", "error")).first_bad.stage == "backup"

"""Findings at their places: the same one has the same fingerprint from run to run, two have never the same."""

import pytest
from msgspec.structs import replace

from ci_migrate.model import Finding, Outcome, Severity, StageResult
from ci_migrate.reports.located import in_repository, locate


def finding(message: str = "m", **more) -> Finding:
    return Finding(**{"code": "CM202", "name": "n", "severity": Severity.ERROR, "message": message, "file": "a.py",
                      "line": 3, **more})  # fmt: skip


@pytest.fixture
def located(samples):
    """Findings of a check as they are located; `bad` is a stage that failed besides."""

    def look(*findings: Finding, bad: StageResult | None = None, **changes):
        check = replace(samples.CHECKED, findings=findings)
        stages = (check, bad) if bad is not None else (check,)
        return locate(samples.report(*stages, **changes))

    return look


def prints(found) -> list[str]:
    return [one.fingerprint for one in found]


def test_lines_counts_and_times_do_not_change_a_fingerprint(located):
    """A forge would close the finding and open another one at each run."""
    (one,) = located(finding("table users has 1,204 rows", line=3))
    (other,) = located(finding("table users has 1,377 rows", line=40))
    assert one.fingerprint == other.fingerprint
    assert (one.line, other.line) == (3, 40)


@pytest.mark.parametrize(
    "change", [{"code": "CM203"}, {"file": "b.py"}, {"revision": "9c1d"}, {"message": "another one"}]
)
def test_what_it_is_about_makes_another_fingerprint(located, change):
    assert prints(located(finding()))[0] != prints(located(finding(**change)))[0]


def test_two_that_differ_in_numbers_alone_are_told_apart_by_their_order(located):
    first, second = located(finding("column 1 of 2"), finding("column 2 of 2"))
    assert first.fingerprint != second.fingerprint
    assert prints(located(finding("column 1 of 2"))) == [first.fingerprint], "which the second has no part in"


def test_a_finding_without_a_file_is_at_its_revision_and_one_without_both_nowhere(located, samples):
    at_revision, nowhere = finding(file=None, revision="3f2a", line=None), finding(file=None, revision=None)
    (found,) = located(at_revision, nowhere)
    assert (found.path, found.line) == (samples.ADD_EMAIL, 1)
    assert located(finding(file=None, revision="unknown")) == []


def failed(**more) -> StageResult:
    return StageResult(
        **{
            "stage": "dry-run",
            "outcome": Outcome.FAILED,
            "message": "boom",
            "file": "b.py",
            "line": 9,
            **more,
        }
    )


def test_the_failure_of_a_stage_comes_first(located):
    failure, other = located(finding(), bad=failed())
    assert (failure.failure, failure.path, failure.line) == (True, "b.py", 9)
    assert (failure.finding.code, failure.finding.message, failure.finding.severity) == (
        "dry-run",
        "boom",
        Severity.ERROR,
    )
    assert not other.failure


def test_a_failure_that_a_finding_tells_already_is_not_told_twice(located):
    (only,) = located(finding(file="b.py"), bad=failed())
    assert not only.failure
    accepted = finding(file="b.py", acknowledged="meant so")
    assert [one.failure for one in located(accepted, bad=failed())] == [True, False], (
        "that one refused nothing"
    )
    assert [one.failure for one in located(finding(), bad=failed(file=None))] == [False], "it has no place"


def test_the_worst_comes_first_and_what_is_accepted_stays(located):
    found = located(
        finding("info", severity=Severity.INFO),
        finding("error"),
        finding("warning", severity=Severity.WARNING),
    )
    assert [one.finding.message for one in found] == ["error", "warning", "info"]


@pytest.mark.parametrize(
    ("folder", "file", "path"),
    [("", "a.py", "a.py"), ("services/shop", "a.py", "services/shop/a.py"), (".", "./a.py", "a.py"),
     ("services/shop", "/srv/x.py", "/srv/x.py")],
)  # fmt: skip
def test_paths_are_the_repositorys(samples, folder, file, path):
    assert in_repository(samples.report(folder=folder), file) == path

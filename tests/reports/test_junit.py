import re
from pathlib import Path
from xml.etree import ElementTree as ET

import junitparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ci_migrate.model import Outcome, PlannedContext, StageResult, VersionTable
from ci_migrate.reports.junit import JUnitReporter

ANY_TEXT = st.text(st.characters(exclude_categories=()))


def render(report) -> str:
    return JUnitReporter().render(report)


def suites(report) -> dict[str, junitparser.TestSuite]:
    return {suite.name: suite for suite in junitparser.JUnitXml.fromstring(render(report).encode())}


def outcomes(suite: junitparser.TestSuite) -> dict[str, str]:
    return {case.name: type(case.result[0]).__name__ if case.result else "Passed" for case in suite}


def element(report, name: str, suite: str = "ci-migrate.shop") -> ET.Element:
    root = ET.fromstring(render(report))
    return root.find(f"testsuite[@name='{suite}']/testcase[@name='{name}']")


def test_golden(same_as_golden, sample, sample_name):
    same_as_golden(f"{sample_name}.xml", render(sample))


def test_passed_and_skipped_stages(samples):
    assert outcomes(suites(samples.green())["ci-migrate.shop"]) == {
        "check": "Passed",
        "backup": "Passed",
        "dry-run": "Passed",
        "approve": "Skipped",
        "migrate": "Passed",
        "verify": "Passed",
        "repair": "Skipped",
    }


def test_a_refusal_is_a_failure(samples):
    suite = suites(samples.dry_run_failed())["ci-migrate.shop"]
    assert outcomes(suite)["dry-run"] == "Failure"
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 1, 0, 4)
    failure = element(samples.dry_run_failed(), "dry-run").find("failure")
    assert failure.get("message") == "duplicate key value violates unique constraint ix_users_email"
    assert failure.get("type") == "ci_migrate.dry_run"
    for part in (failure.get("message"), "9c1d_unique_email.py:16", "psycopg.errors", "still at 1b0c."):
        assert part in failure.text


def test_broken_machinery_is_an_error(samples):
    suite = suites(samples.errored())["ci-migrate.shop"]
    assert outcomes(suite)["backup"] == "Error"
    assert (suite.failures, suite.errors) == (0, 1)
    assert "Install postgresql-client-16" in element(samples.errored(), "backup").find("error").text


def test_an_interrupted_run_is_red_though_no_stage_failed(samples):
    assert outcomes(suites(samples.interrupted())["ci-migrate.shop"])["run"] == "Error"


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED])
def test_a_result_without_any_text_does_not_become_passed(samples, outcome):
    report = samples.report(StageResult(stage="check", outcome=outcome))
    case = next(iter(suites(report)["ci-migrate.shop"]))
    assert case.result
    assert case.result[0].message
    assert case.result[0].text


def test_findings_are_cases_of_their_own(samples):
    checks = suites(samples.refused())["ci-migrate.shop.checks"]
    assert outcomes(checks) == {
        "CM201 table-dropped [3f2a]": "Failure",
        "CM401 missing-downgrade [9c1d]": "Passed",
    }
    failure = element(samples.refused(), "CM201 table-dropped [3f2a]", "ci-migrate.shop.checks").find(
        "failure"
    )
    assert failure.get("type") == "ci_migrate.checks.CM201"
    # both tables that the revision drops: one case, since readers merge cases of the same name
    assert "legacy is dropped with 420 rows" in failure.text
    assert "notes is dropped with 3 rows" in failure.text


def test_an_accepted_finding_passes_and_keeps_its_reason(samples):
    case = element(samples.green(), "CM202 column-dropped [3f2a]", "ci-migrate.shop.checks")
    assert case.find("failure") is None
    assert "moved to profile in 1b0c" in case.find("system-out").text


def test_revisions_of_the_dry_run(samples):
    rehearsed = suites(samples.green())["ci-migrate.shop.dry-run"]
    assert outcomes(rehearsed) == {"upgrade[3f2a]": "Passed", "upgrade[9c1d]": "Passed"}
    case = element(samples.green(), "upgrade[3f2a]", "ci-migrate.shop.dry-run")
    assert case.attrib == {
        "name": "upgrade[3f2a]",
        "classname": "ci-migrate.shop.dry-run",
        "time": "0.025",
        "file": samples.ADD_EMAIL,
        "line": "18",
    }


def failing_dry_run(samples, *, file, statements, commit_points):
    evidence = samples.evidence()
    failing = replace(
        samples.dry_run_failed().result("dry-run"),
        file=file,
        evidence=replace(
            evidence,
            statements=evidence.statements[:statements],
            commit_points=evidence.commit_points[:commit_points],
        ),
    )
    return samples.report(samples.CHECKED, samples.BACKED_UP, failing)


@pytest.mark.parametrize(
    ("file", "statements", "commit_points", "expected"),
    [
        ("9c1d", 3, 1, ["Passed", "Failure"]),
        ("9c1d", 3, 0, ["Passed", "Failure"]),  # one transaction around both
        ("3f2a", 1, 0, ["Failure", "Skipped"]),
        ("3f2a", 0, 0, ["Failure", "Skipped"]),  # fails before its first statement
        (None, 1, 0, ["Failure", "Skipped"]),  # nothing says where: the last one that sent a statement
        (None, 0, 0, ["Skipped", "Skipped"]),  # the copy could not be made
        (None, 3, 2, ["Passed", "Passed"]),  # a measured check said no afterwards
    ],
)
def test_the_revision_that_failed_is_found(samples, file, statements, commit_points, expected):
    files = {"9c1d": samples.UNIQUE_EMAIL, "3f2a": samples.ADD_EMAIL}
    report = failing_dry_run(
        samples, file=files.get(file), statements=statements, commit_points=commit_points
    )
    assert list(outcomes(suites(report)["ci-migrate.shop.dry-run"]).values()) == expected


def test_a_dry_run_that_was_skipped_skips_its_revisions(samples):
    rehearsed = suites(samples.errored())["ci-migrate.shop.dry-run"]
    assert set(outcomes(rehearsed).values()) == {"Skipped"}


def test_a_revision_that_runs_per_tenant_has_a_name_per_tenant(samples):
    contexts = tuple(
        PlannedContext(
            version_table=VersionTable(schema=s), from_heads=(), to_heads=("3f2a",), revisions=("3f2a",)
        )
        for s in ("a", "b")
    )
    check = replace(samples.CHECKED, plan=samples.plan(contexts=contexts))
    names = list(outcomes(suites(samples.report(check, samples.REHEARSED))["ci-migrate.shop.dry-run"]))
    assert names == ["upgrade[3f2a] a.alembic_version", "upgrade[3f2a] b.alembic_version"]


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("./a\\b.py", "a/b.py"),
        ("/abs/a.py", None),  # outside of the project: a forge can't link it
        ("C:\\x\\a.py", None),
        (None, None),
    ],
)
def test_files_are_relative_and_posix(samples, file, shown):
    result = StageResult(stage="check", outcome=Outcome.FAILED, message="no", file=file, line=0)
    case = element(samples.report(result), "check")
    assert case.get("file") == shown
    assert case.get("line") is None


def test_names_do_not_change_from_run_to_run(samples, sample_name):
    def names(report):
        root = ET.fromstring(render(report))
        return [(s.get("name"), c.get("classname"), c.get("name")) for s in root for c in s.iter("testcase")]

    first = samples.ALL[sample_name]()
    later = replace(
        first,
        run_id="another",
        seconds=first.seconds + 5,
        results=tuple(replace(result, seconds=result.seconds + 1) for result in first.results),
    )
    assert names(first) == names(later)
    assert len(set(names(first))) == len(names(first))


def test_rules_that_readers_depend_on(sample):
    root = ET.fromstring(render(sample))
    assert [child.tag for child in root] == ["testsuite"] * len(root)
    for suite in root:
        assert suite.get("name")
        assert suite.find("testsuite") is None
        counted = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for case in suite.iter("testcase"):
            assert case.get("classname") == suite.get("name")
            assert re.fullmatch(r"\d+\.\d{3}", case.get("time"))
            counted["tests"] += 1
            for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
                for found in case.iter(tag):
                    counted[key] += 1
                    assert found.text.strip()
                    assert found.get("message")
                    assert re.fullmatch(r"ci_migrate(\.\w+)+", found.get("type"))
        assert {key: int(suite.get(key)) for key in counted} == counted


@settings(deadline=None)  # a busy machine is no failure
@given(text=ANY_TEXT)
def test_any_text_parses_and_keeps_the_counts(samples, text):
    xml = render(samples.hostile(text))
    parsed = junitparser.JUnitXml.fromstring(xml.encode())
    assert (parsed.tests, parsed.failures, parsed.errors) == (8, 3, 1)
    assert [len(list(suite)) for suite in parsed] == [5, 1, 2]


def test_a_huge_error_text_is_truncated_with_a_count(samples):
    huge = StageResult(
        stage="check", outcome=Outcome.ERROR, message="no", details="x" * 5_000_000 + "\x00]]>"
    )
    xml = render(samples.report(huge))
    assert len(xml) < 25_000
    text = ET.fromstring(xml).find(".//error").text
    assert "4,980,084 characters left out" in text
    assert "\ufffd]]>" in text


def test_the_documents_fit_the_schema(sample):
    xmlschema = pytest.importorskip("xmlschema")
    xmlschema.XMLSchema(Path(__file__).parent / "junit.xsd").validate(ET.fromstring(render(sample)))

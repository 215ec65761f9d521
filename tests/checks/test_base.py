"""What settings say of a finding, and that a check spoils only itself."""

from collections.abc import Iterator
from datetime import date

import pytest

from ci_migrate.checks.acknowledged import Acknowledgement, of_revisions, of_settings
from ci_migrate.checks.base import Check, Facts, Grading, run_checks
from ci_migrate.model import Direction, Finding, Identity, Plan, Revision, Severity

TODAY = date(2027, 1, 31)


def plan(*ids: str, **allow: dict[str, str]) -> Plan:
    revisions = tuple(
        Revision(id=i, file=f"{i}.py", sha256="0", message=i, allow=allow.get(i, {})) for i in ids
    )
    return Plan(
        target="dev", identity=Identity(dialect="sqlite", place="p", facts={}), direction=Direction.UPGRADE,
        destination="head", contexts=(), revisions=revisions, env_sha256="", script_heads=(),
    )  # fmt: skip


def finding(revision: str | None = "3f2a", severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        code="CM202", name="column-dropped", severity=severity, message="It goes.", revision=revision
    )


# ------------------------------------------------------------------ whom an acknowledgement is meant of


@pytest.mark.parametrize(
    ("meant", "revision", "fits"),
    [
        (None, "3f2a", True),
        (None, None, True),
        ("3f2a", "3f2a", True),
        ("3f2a", "3f2a77c1", True),  # a part of an id, as Alembic takes it
        ("3f", "3f2a", True),
        ("3f2a77c1", "3f2a", False),
        ("77c1", "3f2a", False),
        ("3f2a", None, False),
        ("r1", "r1", True),
        ("r1", "r10", False),
        ("r1", "r100", False),
        ("1", "10", False),
        ("1", "1000", False),
        ("001", "0010", False),
    ],
)
def test_of_one_revision_or_all_and_not_of_those_that_are_numbered_alike(meant, revision, fits):
    """What somebody accepted of r1 was accepted of r10 to r19 as well."""
    place = "CM202" if meant is None else f"CM202@{meant}"
    (one,) = of_settings([f"{place}=it is meant"])
    assert one.fits("CM202", revision) is fits
    assert not one.fits("CM201", revision)


def test_what_a_revision_s_file_says_is_meant_of_that_revision_alone():
    found = of_revisions(plan("3f2a", "3f2a77c1", **{"3f2a": {"CM202": "it is meant"}}))
    (one,) = found
    assert one.fits("CM202", "3f2a")
    assert not one.fits("CM202", "3f2a77c1")


# ------------------------------------------------------------------ graded


@pytest.mark.parametrize(
    ("severities", "allow", "severity", "acknowledged"),
    [
        ({}, [], Severity.ERROR, None),
        ({"CM202": "warning"}, [], Severity.WARNING, None),
        ({"CM201": "ignore"}, [], Severity.ERROR, None),
        ({"CM202": "info"}, ["CM202=meant"], Severity.INFO, "meant"),
        ({"CM202": "ignore"}, ["CM202=meant"], None, None),
        ({}, ["CM202@77c1=not this one"], Severity.ERROR, None),
        ({}, ["CM202=old; until 2027-01-30", "CM202=meant"], Severity.ERROR, "meant"),
        ({}, ["CM202=today; until 2027-01-31"], Severity.ERROR, "today (until 2027-01-31)"),
    ],
)
def test_a_finding_as_it_stands_in_the_report(severities, allow, severity, acknowledged):
    graded = Grading(severities, tuple(of_settings(allow)), TODAY).apply(finding())
    if severity is None:
        assert graded is None
        return
    assert (graded.severity, graded.acknowledged) == (severity, acknowledged)
    assert graded.message == "It goes."


def test_a_downgrade_is_not_accepted_by_what_was_said_of_the_upgrade():
    import msgspec

    up = plan("3f2a", **{"3f2a": {"CM202": "it is meant"}})
    down = msgspec.structs.replace(up, direction=Direction.DOWNGRADE)
    assert Grading.of({}, [], up).apply(finding()).acknowledged == "it is meant"
    assert Grading.of({}, [], down).apply(finding()).acknowledged is None


def test_one_that_says_until_when_and_means_no_day_counts_for_nothing():
    one = Acknowledgement("CM202", None, "meant; until soon", wrong="that is no date")
    graded = Grading({}, (one,), TODAY).apply(finding())
    assert graded.refuses
    assert graded.message == "It goes. It is acknowledged (meant; until soon), but that is no date."


# ------------------------------------------------------------------ run


def check(code: str, find, **more) -> Check:
    return Check(code, code.lower(), Severity.WARNING, measured=False, find=find, **more)


def says(check: Check, _facts: Facts) -> Iterator[Finding]:
    yield check.finding("It was asked.")


def test_checks_are_asked_in_the_order_of_their_codes_and_only_those_that_are_for_now():
    others = [
        Check("A9", "a9", Severity.ERROR, measured=True, find=says),
        check("A8", says, copies=frozenset({"after"})),
    ]
    found = run_checks(
        [check("B1", says), check("A1", says), *others], Facts(plan()), Grading(), measured=False
    )
    assert [f.code for f in found] == ["A1", "B1"]


def test_one_that_breaks_or_changes_what_it_looks_at_spoils_only_itself():
    def breaks(_check, _facts):
        raise SystemExit(0)

    def changes(check, facts):
        facts.target_rows["t"] = None
        return []

    def looks(check, facts):
        yield check.finding(f"{dict(facts.target_rows)}")

    def half(check, _facts):
        yield check.finding("the first")
        raise LookupError("no second")

    facts = Facts(plan(), target_rows={})
    checks = [check("A1", breaks), check("A2", changes), check("A3", looks), check("A4", half)]
    found = run_checks(checks, facts, Grading(), measured=False)
    assert [(f.code, f.severity) for f in found] == [
        ("A1", Severity.ERROR), ("A3", Severity.WARNING), ("A4", Severity.ERROR),
    ]  # fmt: skip
    assert found[0].message == "The check A1 could not tell: SystemExit: 0"
    assert found[1].message == "{}"
    assert "LookupError" in found[2].message

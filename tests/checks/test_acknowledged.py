"""Acknowledgements: reasons, last days, and those that fit nothing."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ci_migrate.checks.acknowledged import of_settings, parse_expiry
from ci_migrate.checks.base import Grading
from ci_migrate.errors import UsageError
from ci_migrate.model import Finding, Severity

DROPS = 'op.drop_column("users", "email")'
TODAY = datetime.now(UTC).date()
FAR, GONE = TODAY + timedelta(days=9), TODAY - timedelta(days=2)


def of(report, code):
    return [f for f in report.findings if f.code == code]


@pytest.mark.parametrize(
    ("text", "reason", "until"),
    [
        ("moved", "moved", None),
        (" moved ; until 2027-01-31 ", "moved", date(2027, 1, 31)),
        ("kept until then; later gone", "kept until then; later gone", None),
        ("one; two;until 2027-01-31", "one; two", date(2027, 1, 31)),
    ],
)
def test_a_reason_and_its_last_day(text, reason, until):
    assert parse_expiry(text) == (reason, until)


@pytest.mark.parametrize(
    "text", ["moved; until soon", "moved; until 2027-02-30", "; until 2027-01-31", "x; until"]
)
def test_what_is_no_date(text):
    with pytest.raises(ValueError):
        parse_expiry(text)
    with pytest.raises(UsageError, match="last day") as refused:
        list(of_settings([f"CM202@r2={text}"]))
    assert "CM202@r2=moved to profile; until" in refused.value.hint


@pytest.mark.parametrize(
    ("today", "holds"), [("2027-01-30", True), ("2027-01-31", True), ("2027-02-01", False)]
)
def test_the_last_day_is_the_last_on_which_it_holds(today, holds):
    grading = Grading(
        allowed=tuple(of_settings(["CM202@3f=moved; until 2027-01-31"])), today=date.fromisoformat(today)
    )
    found = Finding(code="CM202", name="x", severity=Severity.ERROR, message="It goes.", revision="3f2a")
    graded = grading.apply(found)
    assert graded is not None
    assert graded.refuses is not holds
    assert (graded.acknowledged == "moved (until 2027-01-31)") is holds
    assert ("acknowledged until 2027-01-31 (moved): that day is over" in graded.message) is not holds


def test_over_in_the_settings_and_renewed_by_a_flag(rehearse, filled):
    filled.settings(f'allow = ["CM202@r2=moved; until {GONE}"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    (found,) = of(rehearse(DROPS), "CM202")
    assert found.refuses
    assert found.message.endswith(f"It was acknowledged until {GONE} (moved): that day is over.")
    (found,) = of(rehearse(DROPS, allow=[f"CM202=once more; until {FAR}"]), "CM202")
    assert found.acknowledged == f"once more (until {FAR})"


def test_the_last_day_in_a_revision_file(rehearse):
    allow = 'ci_migrate = {{"allow": {{"CM202": "moved; until {}"}}}}'
    assert not of(rehearse(DROPS, extra=allow.format(FAR)), "CM202")[0].refuses
    assert of(rehearse(DROPS, extra=allow.format(GONE)), "CM202")[0].refuses
    (found,) = of(rehearse(DROPS, extra=allow.format("tomorrow")), "CM202")
    assert found.refuses
    assert "after it" in found.message


def test_cm106_one_that_fits_nothing(rehearse, filled):
    report = rehearse(
        "create table more (id integer)",
        extra='ci_migrate = {"allow": {"CM202": "none goes", "CM401": "no rollback path"}}',
        allow=[
            "CM999=misspelt",
            "CM202@nowhere=no such revision",
            "CM201=stands for all",
            "CM602@r1=applied",
        ],
    )
    (static, misspelt, unused) = sorted(of(report, "CM106"), key=lambda f: f.message[20:])[:3]
    found = {f.message.split(" (")[0]: f for f in (static, misspelt, unused)}
    assert set(found) == {
        "The acknowledgement CM999",
        "The acknowledgement CM202@nowhere",
        "CM202@r2 is acknowledged",
    }
    assert len(of(report, "CM106")) == 3
    assert found["The acknowledgement CM999"].severity is Severity.WARNING
    remark = found["CM202@r2 is acknowledged"]
    assert (remark.severity, remark.file) == (Severity.INFO, "migrations/versions/r2.py")
    assert of(report, "CM401")[0].acknowledged == "no rollback path"

"""What a finding weighs, and what is shown of it."""

import pytest

from ci_migrate.model import Finding, Severity


def finding(**more) -> Finding:
    return Finding(
        **{"code": "CM202", "name": "n", "severity": Severity.ERROR, "message": "It is lost.", **more}
    )


@pytest.mark.parametrize("severity", Severity)
@pytest.mark.parametrize("acknowledged", [None, "", "meant so"])
def test_only_an_error_refuses_and_only_where_nobody_means_it(severity, acknowledged):
    found = finding(severity=severity, acknowledged=acknowledged)
    assert found.refuses is (severity is Severity.ERROR and acknowledged is None)


@pytest.mark.parametrize(
    ("fix", "text"), [("", "It is lost."), ("Copy it first.", "It is lost. Copy it first.")]
)
def test_what_was_found_and_what_to_do_stand_in_one_text(fix, text):
    assert finding(fix=fix).text == text


def test_an_example_is_shown_line_by_line_and_not_to_who_means_it():
    example = "with op.batch_alter_table('t') as t:\n    t.drop_column('a')\n"
    assert finding(example=example).pasted == tuple(example.splitlines())
    assert finding().pasted == ()
    assert finding(example=example, acknowledged="meant").pasted == ()


def test_severities_are_what_settings_and_reports_call_them():
    assert [str(one) for one in Severity] == ["error", "warning", "info"], (
        "the worst first: findings are sorted so"
    )


def test_a_finding_is_one_of_its_code_and_place():
    assert finding() == finding()
    assert finding(line=3) != finding(line=4)

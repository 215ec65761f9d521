"""Outputs of steps and jobs: every value on a line of its own."""

import pytest
from msgspec.structs import replace

from ci_migrate.reports.outputs import DotenvReporter, github_output, outputs

NAMES = ["exit-code", "status", "plan-digest", "backup-id", "report-dir"]


def test_a_value_a_line(sample) -> None:
    lines = github_output(sample, "a\nb").splitlines()
    assert [line.partition("=")[0] for line in lines] == NAMES
    assert lines[0] == f"exit-code={int(sample.exit_code)}"
    assert lines[-1] == "report-dir=a b"
    text = DotenvReporter().render(sample)
    assert f"MIGRATION_STATUS={sample.state.value}\n" in text
    assert "CI_MIGRATE" not in text


def test_what_a_run_did_not_get_to_is_empty_and_not_missing(samples) -> None:
    """A step that asks for an output that is not there fails on some runners."""
    found = outputs(samples.report())
    assert found == {"exit-code": "0", "status": "untouched", "plan-digest": "", "backup-id": ""}
    whole = outputs(samples.green())
    assert whole["backup-id"] == "backup_1b0c_20261122_191633"
    assert whole["plan-digest"] == samples.plan().digest
    assert whole["status"] == "migrated"


@pytest.mark.parametrize("text", ["a\nEVIL=1", "a\r\nEVIL=1", "a\u2028EVIL=1", "a\x0bEVIL=1", "a\x85EVIL=1"])
def test_no_value_makes_a_second_output(samples, text) -> None:
    """Whoever names a folder or a backup writes no variable of a later job."""
    backup = replace(samples.backup(), backup_id=text)
    report = samples.report(replace(samples.BACKED_UP, backup=backup))
    for rendered in (github_output(report, text), DotenvReporter().render(report)):
        assert [line for line in rendered.splitlines() if line.startswith("EVIL")] == []
        assert [line for line in rendered.split("\n") if line.startswith("EVIL")] == []

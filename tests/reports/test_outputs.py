"""Outputs of steps and jobs: every value on a line of its own."""

from ci_migrate.reports.outputs import DotenvReporter, github_output

NAMES = ["exit-code", "status", "plan-digest", "backup-id", "report-dir"]


def test_a_value_a_line(sample) -> None:
    lines = github_output(sample, "a\nb").splitlines()
    assert [line.partition("=")[0] for line in lines] == NAMES
    assert lines[0] == f"exit-code={int(sample.exit_code)}"
    assert lines[-1] == "report-dir=a b"
    text = DotenvReporter().render(sample)
    assert f"MIGRATION_STATUS={sample.state.value}\n" in text
    assert "CI_MIGRATE" not in text

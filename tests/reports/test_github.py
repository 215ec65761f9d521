"""Annotations and summary as GitHub wants them."""

import re

from msgspec.structs import replace

from ci_migrate.model import Finding, Severity
from ci_migrate.reports.github import MOST, SUMMARY_LIMIT, annotations, summary

COMMAND = re.compile(r"::(error|warning|notice) title=[^,:\n]*(,file=[^,:\n]+,line=\d+)?::[^\n\r]+")


def test_each_is_one_command_on_one_line(sample) -> None:
    lines = annotations(sample, "services/shop")
    assert all(COMMAND.fullmatch(line) for line in lines), lines
    assert not any(",file=" in line and ",file=services/shop/" not in line for line in lines)
    bad = sample.first_bad
    if bad is not None and bad.file and bad.file.isprintable():
        assert f"file=services/shop/{bad.file}" in lines[0]
        assert lines[0].startswith("::error ")


def test_more_than_github_keeps_are_counted(samples) -> None:
    many = tuple(
        Finding(
            code="CM401", name="missing", severity=Severity.WARNING, message=f"number {n}: 100%, or\nless"
        )
        for n in range(25)
    )
    green = samples.ALL["green"]()
    report = replace(green, results=(replace(green.results[0], findings=many), *green.results[1:]))
    warnings = [line for line in annotations(report) if line.startswith("::warning")]
    assert len(warnings) == MOST
    assert warnings[0].endswith("::number 0: 100%25, or%0Aless")
    assert "16 more" in warnings[-1]


def test_a_summary_is_never_too_large(samples) -> None:
    report = samples.ALL["green"]()
    whole = summary(report)
    assert "more are in summary.md" not in whole
    cut = summary(report, SUMMARY_LIMIT - 400)
    assert len(cut.encode()) <= 400
    assert "more are in summary.md" in cut
    assert whole.startswith(cut.splitlines()[0])

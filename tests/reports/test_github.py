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


def test_a_finding_that_was_accepted_is_a_notice_with_its_reason(samples) -> None:
    lines = [line for line in annotations(samples.green()) if "CM202" in line]
    assert len(lines) == 1
    assert lines[0].startswith("::notice title=CM202 column-dropped,file=")
    assert lines[0].endswith("(acknowledged: moved to profile in 1b0c)")


def test_what_the_failed_stage_says_already_is_not_said_twice(samples) -> None:
    refused = samples.refused()
    said = replace(refused.results[0], message=refused.results[0].findings[1].message)
    lines = annotations(replace(refused, results=(said, *refused.results[1:])))
    assert sum("420 rows" in line for line in lines) == 1
    assert sum("::error" in line for line in lines) == 2, "the other one that refuses stays"


def test_a_failure_tells_where_the_database_is_and_what_to_type(samples) -> None:
    first, *_ = annotations(samples.dry_run_failed())
    assert first.startswith(
        f"::error title=dry-run failed in revision 9c1d,file={samples.UNIQUE_EMAIL},line=16::"
    )
    assert "%0AThe database is untouched, still at 1b0c.%0A" in first
    assert "ci-migrate dry-run --target shop" in first


def test_no_text_ends_a_command_or_begins_another_one(samples) -> None:
    """What a revision is called must not give orders to the runner."""
    evil = "x%0A::set-env name=PATH::/evil\n::error::x,line=1:file=y"
    for line in annotations(samples.hostile(evil)):
        assert line.count("\n") == 0
        assert COMMAND.fullmatch(line), line
        assert "::set-env" not in line.partition("::")[2].partition("::")[0]

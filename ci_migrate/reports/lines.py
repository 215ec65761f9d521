"""One line for each finding, as compilers print theirs: `FILE:LINE: error CM201: words`. Editors find places by it."""

from collections.abc import Iterator

from ci_migrate.model import Report
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean_report, one_line
from ci_migrate.reports.failure import Failure, failure_of_report, report_findings


def finding_lines(report: Report, prefix: str = "") -> Iterator[str]:
    """The failure first, if it is none of the findings; then these, worst first, each above its example, indented.

    `prefix` stands before files.
    """
    report = clean_report(report)
    failure = failure_of_report(report)
    findings = report_findings(report)
    if failure is not None and failure.code not in {finding.code for finding in findings}:
        yield failure_line(failure, prefix)
    for finding in findings:
        weight = {"refused": "error", "accepted": "info"}.get(
            story.finding_weight(finding), finding.severity.value
        )
        meant = f" (accepted: {finding.acknowledged})" if finding.acknowledged is not None else ""
        yield _line(prefix, finding.file, finding.line, f"{weight} {finding.code}: {finding.text}{meant}")
        yield from (f"    {line}" for line in finding.pasted)


def failure_line(failure: Failure, prefix: str = "") -> str:
    """A failure as a line."""
    return _line(prefix, failure.file, failure.line, f"error {failure.code}: {failure.message} {failure.fix}")


def _line(prefix: str, file: str | None, line: int | None, words: str) -> str:
    place = f"{prefix}{one_line(file, 1000)}:{line or 1}: " if file else ""
    return place + one_line(words, 1000)

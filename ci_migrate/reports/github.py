"""What GitHub shows of a run: annotations on the revisions' lines, and the summary of the step.

Workflow commands and their limits: https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from pathlib import PurePosixPath

from ci_migrate.model import Report, Severity
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean_report, one_line
from ci_migrate.reports.markdown import MarkdownReporter

MOST = 10
"""Annotations of one kind that GitHub keeps of a step; those that come later vanish."""

SUMMARY_LIMIT = 1024 * 1024
"""Bytes: a summary that is larger is not shown at all."""

KINDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def annotations(report: Report, prefix: str = "") -> list[str]:
    """Workflow commands, the worst first; where there are more than GitHub keeps, the tenth says how many.

    Args:
        report: a finished one.
        prefix: the project's folder from the repository's root, "" where it is the root.
    """
    report = clean_report(report)
    found: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
    bad = report.first_bad
    if bad is not None:
        revision = story.failing_revision(report)
        title = f"{bad.stage} failed" + (f" in revision {revision.id}" if revision else "")
        said = [f for f in report.findings if f.refuses and f.message in bad.message]
        fixes = [line for finding in said for line in (finding.fix, *finding.pasted)]
        told = [bad.message, *fixes, one_line(story.failing_sql(report)), story.state_sentence(report)]
        text = "\n".join(dict.fromkeys(line for line in (*told, *story.next_lines(report)) if line))
        found["error"].append(_command("error", title, text, bad.file, bad.line, prefix))
    for finding in report.findings:
        if bad is not None and finding.refuses and finding.message in bad.message:
            continue
        kind = "notice" if finding.acknowledged else KINDS[finding.severity]
        words = (
            f"{finding.text} (acknowledged: {finding.acknowledged})" if finding.acknowledged else finding.text
        )
        words = "\n".join((words, *finding.pasted))
        title = f"{finding.code} {finding.name}"
        found[kind].append(_command(kind, title, words, finding.file, finding.line, prefix))
    return [line for kind, lines in found.items() for line in _at_most(kind, lines)]


def _at_most(kind: str, lines: list[str]) -> list[str]:
    if len(lines) <= MOST:
        return lines
    more = f"{len(lines) - MOST + 1} more are in the summary and in the reports"
    return [*lines[: MOST - 1], _command(kind, "ci-migrate", more, None, None, "")]


def _command(kind: str, title: str, message: str, file: str | None, line: int | None, prefix: str) -> str:
    properties = {"title": title}
    if file is not None:
        properties["file"] = (PurePosixPath(prefix) / file).as_posix()
        properties["line"] = str(line or 1)
    words = ",".join(f"{name}={_escape(value, more=':,')}" for name, value in properties.items())
    return f"::{kind} {words}::{_escape(message)}"


def _escape(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:  # the sign of the escape itself comes first
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def summary(report: Report, there: int = 0) -> str:
    """The Markdown for the step's summary, cut at a line where it would grow over GitHub's limit.

    Args:
        report: a finished one.
        there: bytes that the summary has already.
    """
    text = MarkdownReporter().render(report)
    room = SUMMARY_LIMIT - there - 200
    data = text.encode(errors="replace")
    if len(data) <= room:
        return text
    kept = data[: max(room, 0)].decode(errors="ignore").rpartition("\n")[0]
    return f"{kept}\n\n{len(data) - len(kept.encode()):,} bytes more are in summary.md, among the reports.\n"

"""The terminal: what happened in ten seconds. The last line is the state of the database."""

import io
import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from ci_migrate.errors import ExitCode
from ci_migrate.model import Outcome, Report, Severity, StageResult
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean_report, one_line, plan_digest

_MARK = {
    Outcome.PASSED: ("ok", "green"),
    Outcome.FAILED: ("FAILED", "bold red"),
    Outcome.ERROR: ("ERROR", "bold red"),
    Outcome.SKIPPED: ("skipped", "dim"),
}
_WEIGHT = {"refused": "bold red", Severity.ERROR: "red", Severity.WARNING: "yellow"}
_MARK_WIDTH, _STAGE_WIDTH, _TIME_WIDTH = 9, 9, 12
_BROKEN = (ExitCode.FAILED_RESTORED, ExitCode.FAILED_DIRTY, ExitCode.COULD_NOT_TELL)
_MOST = 20
"""Entries of one list; the rest is counted, report.json has them all."""


def render_text(report: Report, width: int = 100, *, color: bool = False, stages: bool = True) -> str:
    """The summary of a finished run, ending with the line on the state of the database.

    Args:
        report: what happened.
        width: columns to wrap prose at; a path or a command is never broken.
        color: whether escape sequences may be used; the caller knows the terminal and NO_COLOR.
        stages: False where each stage was printed already as it ended.
    """
    digest = plan_digest(report)
    report = clean_report(report)
    lines: list[Text] = [*_title(report)]
    if stages:
        lines += [Text(), *(_stage(result, width) for result in report.results)]
    for block in (
        _why(report, width),
        _pending(report, width, digest),
        _findings(report, width),
        _changes(report, width),
        _proof(report, width),
    ):
        if block:
            lines += [Text(), *block]
    commands = story.next_lines(report)
    if commands:
        lines += [Text(), Text("Next", "bold"), *(Text(f"  {one_line(c, 2000)}", "cyan") for c in commands)]
    for warning in report.warnings:
        lines += [Text(), *_wrap("WARNING  ", warning, width, "bold yellow")]
    lines += [Text(), _last(report)]
    return _print(lines, width, color)


def stage_line(result: StageResult, width: int = 100, *, color: bool = False) -> str:
    """One stage as it ends: mark, name, seconds, first line of its message. No new line at the end."""
    return _print([_stage(result, width)], width, color).rstrip("\n")


def _title(report: Report) -> Iterator[Text]:
    where = f"  {one_line(report.target)}  {one_line(report.place)}".rstrip()
    yield Text.assemble((f"ci-migrate {report.command}", "bold"), where)


def _stage(result: StageResult, width: int) -> Text:
    mark, style = _MARK[result.outcome]
    skipped = result.outcome is Outcome.SKIPPED
    time = "" if skipped else story.duration(result.seconds)
    indent = 2 + _MARK_WIDTH + _STAGE_WIDTH + _TIME_WIDTH
    message = _fill(story.first_line(result), width, indent)
    name = one_line(result.stage)
    return Text.assemble(
        "  ",
        (f"{mark:<{_MARK_WIDTH}}", style),
        (f"{name:<{_STAGE_WIDTH}}", "dim" if skipped else ""),
        (f"{time:>{_TIME_WIDTH - 2}}  ", "dim"),
        (message, "dim" if skipped else ""),
    )


def _why(report: Report, width: int) -> list[Text]:
    bad = report.first_bad
    if bad is None:
        return []
    revision = story.failing_revision(report)
    what = f" in revision {revision.id} ({one_line(revision.message)})" if revision else ""
    lines = [Text(f"{bad.stage} {_MARK[bad.outcome][0]}{what}", "bold red")]
    where = story.place(bad.file, bad.line)
    if where:
        lines.append(Text(f"  {where}", "bold"))
    sql = one_line(story.failing_sql(report), 300)
    if sql:
        lines += _wrap("  ", sql, width)
    if story.first_line(bad):
        lines += _wrap("  ", story.first_line(bad), width)
    lines += _message_rest(bad, width)
    if report.diagnosis is not None and report.diagnosis.words:
        lines += _wrap("  Found: ", report.diagnosis.words, width)
    return lines


def _message_rest(bad: StageResult, width: int) -> Iterator[Text]:
    """What the stage said after its first line; a command there stays on one line, it will be pasted."""
    explained = False
    for line in story.message_rest(bad):
        if explained or line.startswith(("# ", "ci-migrate ")):
            yield Text(f"  {one_line(line, 2000)}", "cyan")
        else:
            yield from _wrap("  ", line, width)
        explained = line.startswith("# ")


def _pending(report: Report, width: int, digest: str) -> list[Text]:
    """What would run, where the command stopped before it was rehearsed: the whole point of `plan`."""
    plan = report.plan
    if plan is None or not plan.pending or report.evidence is not None:
        return []
    lines = [Text("What would run", "bold")]
    for revision in plan.revisions[:_MOST]:
        lines += _wrap("  ", one_line(f"{revision.id}  {revision.message}"), width)
        lines.append(Text(f"    {one_line(revision.file)}", "dim"))
    return [*lines, *_more(len(plan.revisions)), Text(f"  plan {digest}", "dim")]


def _findings(report: Report, width: int) -> list[Text]:
    if not report.findings:
        return []
    lines = [Text("Findings", "bold")]
    for finding in report.findings[:_MOST]:
        weight = story.finding_weight(finding)
        where = story.place(finding.file, finding.line)
        name = story.finding_name(finding)
        style = _WEIGHT.get(weight, "dim")
        named = f"{where}  {name}" if where else name
        lines.append(Text.assemble("  ", (f"{weight:<{_MARK_WIDTH}}", style), (named, "bold")))
        lines += _wrap(f"  {'':<{_MARK_WIDTH}}", finding.message, width)
        if finding.acknowledged is not None:
            lines += _wrap(f"  {'':<{_MARK_WIDTH}}Accepted: ", finding.acknowledged, width, "dim")
    return lines + _more(len(report.findings))


def _changes(report: Report, width: int) -> list[Text]:
    evidence = report.evidence
    if evidence is None or report.exit_code in _BROKEN:
        return []  # when something broke, the figures of a rehearsal that went well are in the way
    lines = []
    for change in evidence.changes[:_MOST]:
        lines += _wrap("  ", one_line(change.words), width)
    lines += _more(len(evidence.changes))
    rows = story.row_changes(evidence)
    for table, before, after, inside in rows[:_MOST]:
        counts = f"rows {table}: {before} -> {after}" if before != after else f"rows {table}: {before}"
        lines += _wrap("  ", f"{counts} ({inside})" if inside else counts, width)
    lines += _more(len(rows))
    return [Text("What the dry run changed", "bold"), *lines] if lines else []


def _proof(report: Report, width: int) -> list[Text]:
    lines = []
    for proved, sentence in story.proofs(report):
        mark, style = ("yes", "green") if proved else ("no", "yellow")
        lines += _wrap(f"  {mark:<{_MARK_WIDTH}}", sentence, width, style)
    return [Text("Proved", "bold"), *lines] if lines else []


def _last(report: Report) -> Text:
    good = report.exit_code is ExitCode.OK
    calm = good or report.exit_code is ExitCode.FAILED_RESTORED
    verdict = story.verdict(report) + ("" if good else f" (exit {int(report.exit_code)})")
    style = "bold green" if good else "bold red"
    return Text.assemble((f"{verdict}. ", style), (story.state_sentence(report), "bold" if calm else style))


def _more(count: int) -> list[Text]:
    return [Text(f"  ... and {count - _MOST:,} more, all in report.json", "dim")] if count > _MOST else []


def _wrap(prefix: str, text: str, width: int, style: str = "") -> list[Text]:
    """Prose behind a prefix, wrapped with a hanging indent; only the prefix has the style."""
    message = _fill(one_line(text, 1000), width, len(prefix))
    return [Text.assemble((prefix, style), message)]


def _fill(text: str, width: int, indent: int) -> str:
    columns = max(20, width - indent)
    # a path, a name or a piece of SQL that is too long stays whole: it will be copied
    lines = textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)


def _print(lines: Iterable[Text], width: int, color: bool) -> str:
    # _environ: the environment is read by the command line alone, and FORCE_COLOR is its affair
    console = Console(
        file=io.StringIO(),
        width=max(20, width),
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    with console.capture() as capture:
        for line in lines:
            line.rstrip()
            console.print(line, soft_wrap=True)
    return capture.get()

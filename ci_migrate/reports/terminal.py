"""The terminal: what happened in ten seconds. The last line is the state of the database."""

import io
import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from ci_migrate.errors import ExitCode
from ci_migrate.model import Outcome, Report, Severity, StageResult, list_some, plural
from ci_migrate.reports import story
from ci_migrate.reports.clean import clean_report, one_line, plan_digest
from ci_migrate.reports.links import is_ours

_MARK = {
    Outcome.PASSED: ("ok", "green"),
    Outcome.FAILED: ("FAILED", "bold red"),
    Outcome.ERROR: ("ERROR", "bold red"),
    Outcome.SKIPPED: ("skipped", "dim"),
}
_WEIGHT = {"refused": "bold red", Severity.ERROR: "red", Severity.WARNING: "yellow"}
_MARK_WIDTH, _STAGE_WIDTH, _TIME_WIDTH = 9, 9, 12
_NARROW_INDENT = 4
_ROOMY = 80
"""Columns below which a message stands under its stage instead of beside it."""
_BROKEN = (ExitCode.FAILED_RESTORED, ExitCode.FAILED_DIRTY, ExitCode.COULD_NOT_TELL)
_MOST = 20
"""Entries of one list where not all are asked for; the rest is counted, report.json has them all."""
_ALL = 100_000


def render_text(
    report: Report,
    width: int = 100,
    *,
    color: bool = False,
    stages: bool = True,
    verbose: bool = False,
    screen: bool = False,
) -> str:
    """The summary of a finished run, ending with the line on the state of the database.

    Args:
        report: what happened.
        width: columns to wrap prose at; a path or a command is never broken.
        color: whether escape sequences may be used; the caller knows the terminal and NO_COLOR.
        stages: False where each stage was printed already as it ended.
        verbose: lists are not cut, statements are shown, and of what failed all its text.
        screen: it is read on a terminal, so the last line is wrapped too; elsewhere it stays one line for scripts.
    """
    digest = plan_digest(report)
    report = clean_report(report)
    most = _ALL if verbose else _MOST
    lines: list[Text] = [*_title(report)]
    if stages:
        lines += [Text(), *(_stage(r, width, short=r is report.first_bad) for r in report.results)]
    for block in (
        _why(report, width, verbose=verbose),
        _pending(report, width, digest, most),
        _findings(report, width, most),
        _changes(report, width, most),
        _statements(report, width) if verbose else [],
        _proof(report, width),
    ):
        if block:
            lines += [Text(), *block]
    commands = story.next_lines(report)
    if commands:
        lines += [Text(), Text("Next", "bold")]
        lines += [Text(f"  {one_line(c, 2000)}", "" if c.startswith("# ") else "cyan") for c in commands]
    for warning in report.warnings:
        lines += [Text(), *_wrap("WARNING  ", warning, width, "bold yellow")]
    lines += [Text(), _last(report, width if screen else _ALL)]
    return _print(lines, width, color)


def state_line(report: Report, *, color: bool = False) -> str:
    """The last line of the summary alone: verdict and state of the database."""
    return _print([_last(clean_report(report), _ALL)], _ALL, color).rstrip("\n")


def stage_line(result: StageResult, width: int = 100, *, color: bool = False, short: bool = False) -> str:
    """One stage as it ends: mark, name, seconds, first line of its message. No new line at the end.

    `short`: of one that failed only where, since the summary below tells why.
    """
    return _print([_stage(result, width, short=short)], width, color).rstrip("\n")


def _title(report: Report) -> Iterator[Text]:
    where = f"  {one_line(report.target)}  {one_line(report.place)}".rstrip()
    yield Text.assemble((f"ci-migrate {report.command}", "bold"), where)


def _stage(result: StageResult, width: int, *, short: bool) -> Text:
    mark, style = _MARK[result.outcome]
    skipped = result.outcome is Outcome.SKIPPED
    time = "" if skipped else story.duration(result.seconds)
    name = one_line(result.stage)
    indent = 2 + _MARK_WIDTH + _STAGE_WIDTH + _TIME_WIDTH
    beside = "  "
    if width < _ROOMY:
        indent = _NARROW_INDENT
        beside = f"\n{' ' * indent}"
    message = _fill(_stage_words(result, short=short), width, indent)
    return Text.assemble(
        "  ",
        (f"{mark:<{_MARK_WIDTH}}", style),
        (f"{name:<{_STAGE_WIDTH}}", "dim" if skipped else ""),
        (f"{time:>{_TIME_WIDTH - 2}}", "dim"),
        (beside + message if message else "", "dim" if skipped else ""),
    )


def _stage_words(result: StageResult, *, short: bool) -> str:
    """What a stage says as it ends."""
    if not short or result.outcome not in (Outcome.FAILED, Outcome.ERROR):
        return story.first_line(result)
    refusing = [story.finding_name(f) for f in result.findings if f.refuses]
    return list_some(refusing, 3) if refusing else story.place(result.file, result.line)


def _why(report: Report, width: int, *, verbose: bool) -> list[Text]:
    bad = report.first_bad
    if bad is None:
        return []
    revision = story.failing_revision(report)
    what = f" in revision {story.revision_name(revision)}" if revision else ""
    lines = [Text(_fill(f"{bad.stage} {_MARK[bad.outcome][0]}{what}", width, 2), "bold red")]
    where = story.place(bad.file, bad.line)
    if where:
        lines.append(Text(f"  {where}", "bold"))
    sql = one_line(story.failing_sql(report), 300)
    if sql:
        lines += _wrap("  ", sql, width)
    if story.first_line(bad) and not story.says_a_finding(bad):  # those are told below, each with its fix
        lines += _wrap("  ", story.first_line(bad), width)
    lines += _message_rest(bad, width)
    if report.diagnosis is not None and report.diagnosis.words:
        lines += _wrap("  Found: ", report.diagnosis.words, width)
    if verbose and bad.details.strip():
        lines += [Text(f"  | {line}".rstrip(), "dim") for line in bad.details.strip().splitlines()]
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


def _pending(report: Report, width: int, digest: str, most: int) -> list[Text]:
    """What would run, where the command stopped before it was rehearsed: the whole point of `plan`."""
    plan = report.plan
    if plan is None or not plan.pending or report.evidence is not None:
        return []
    lines = [Text("What would run", "bold")]
    for revision in plan.revisions[:most]:
        lines += _wrap("  ", one_line(f"{revision.id}  {revision.message}"), width)
        lines.append(Text(f"    {one_line(revision.file)}", "dim"))
    return [*lines, *_more(len(plan.revisions), most), Text(f"  plan {digest}", "dim")]


def _findings(report: Report, width: int, most: int) -> list[Text]:
    if not report.findings:
        return []
    lines = [Text("Findings", "bold")]
    for finding in report.findings[:most]:
        weight = story.finding_weight(finding)
        where = story.place(finding.file, finding.line)
        name = story.finding_name(finding)
        style = _WEIGHT.get(weight, "dim")
        apart = f"\n  {'':<{_MARK_WIDTH}}" if width < _ROOMY else "  "
        named = f"{where}{apart}{name}" if where else name
        lines.append(Text.assemble("  ", (f"{weight:<{_MARK_WIDTH}}", style), (named, "bold")))
        lines += _wrap(f"  {'':<{_MARK_WIDTH}}", finding.message, width)
        if finding.fix and finding.acknowledged is None:
            lines += _wrap(f"  {'':<{_MARK_WIDTH}}Fix: ", finding.fix, width, "bold")
        lines += [Text(f"  {'':<{_MARK_WIDTH}}  {line}".rstrip(), "cyan") for line in finding.pasted]
        if finding.acknowledged is not None:
            lines += _wrap(f"  {'':<{_MARK_WIDTH}}Accepted: ", finding.acknowledged, width, "dim")
    explained = next((f.code for f in report.findings if f.refuses and is_ours(f.code)), None)
    if explained is not None:
        why = Text.assemble("  Why, and the safe way: ", (f"ci-migrate explain {explained}", "cyan"))
        return [*lines, *_more(len(report.findings), most), why]
    return lines + _more(len(report.findings), most)


def _changes(report: Report, width: int, most: int) -> list[Text]:
    evidence = report.evidence
    if evidence is None or report.exit_code in _BROKEN:
        return []  # when something broke, the figures of a rehearsal that went well are in the way
    lines = []
    for change in evidence.changes[:most]:
        lines += _wrap("  ", one_line(change.words), width)
    lines += _more(len(evidence.changes), most)
    rows = story.row_changes(evidence)
    for table, before, after, inside in rows[:most]:
        counts = f"rows {table}: {before} -> {after}" if before != after else f"rows {table}: {before}"
        lines += _wrap("  ", f"{counts} ({inside})" if inside else counts, width)
    lines += _more(len(rows), most)
    return [Text("What the dry run changed", "bold"), *lines] if lines else []


def _statements(report: Report, width: int) -> list[Text]:
    """What the dry run sent, as it was timed there."""
    evidence = report.evidence
    lines = []
    for one in evidence.statements if evidence is not None else ():
        where = story.place(one.file, one.line) or "env.py"
        rows = f", {plural(one.rows, 'row')}" if one.rows is not None and one.rows >= 0 else ""
        lines.append(Text(f"  {where}  {story.duration(one.seconds)}{rows}", "dim"))
        lines += _wrap("    ", one_line(one.sql, 1000), width)
    return [Text("Statements of the dry run", "bold"), *lines] if lines else []


def _proof(report: Report, width: int) -> list[Text]:
    lines = []
    for proved, sentence in story.proofs(report):
        mark, style = ("yes", "green") if proved else ("no", "yellow")
        lines += _wrap(f"  {mark:<{_MARK_WIDTH}}", sentence, width, style)
    return [Text("Proved", "bold"), *lines] if lines else []


def _last(report: Report, width: int) -> Text:
    good = report.exit_code is ExitCode.OK
    calm = good or report.exit_code is ExitCode.FAILED_RESTORED
    verdict = story.verdict(report) + ("" if good else f" (exit {int(report.exit_code)})")
    style = "bold green" if good else "bold red"
    text = _fill(f"{verdict}. {story.state_sentence(report)}", width, 0)
    end = len(verdict) + 1
    return Text.assemble((text[:end], style), (text[end:], "bold" if calm else style))


def _more(count: int, most: int) -> list[Text]:
    if count <= most:
        return []
    return [Text(f"  ... and {count - most:,} more: -v shows them, and report.json has them", "dim")]


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

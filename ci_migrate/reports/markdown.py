"""Markdown for GitHub's step summary and for comments on merge requests."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from ci_migrate.errors import ExitCode
from ci_migrate.model import Finding, Outcome, Report, plural
from ci_migrate.reports import measured, story
from ci_migrate.reports.clean import clean, clean_report, one_line, plan_digest
from ci_migrate.reports.links import page_of

LIMIT = 65_000
"""Characters. A comment on GitHub holds 65,536, one on GitLab a million, a step summary 1 MiB."""

_MARK = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.ERROR: "⚠️", Outcome.SKIPPED: "⏭️"}
# an underscore inside a word is no markup, and names are full of them; the end is what makes a line special
_SPECIAL = re.compile(r"[\\`*\[\]<|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^[>#=+-]|(?<=^\d)[.)]")


class MarkdownReporter:
    """`summary.md`: headline and state first, then why, what to type next, and the figures."""

    format = "markdown"
    file = "summary.md"

    def render(self, report: Report) -> str:
        """The document; long lists are cut with a count until it fits."""
        digest = plan_digest(report)
        report = clean_report(report)
        text = ""
        for most in (100, 30, 10, 3):
            text = "\n".join((marker(report), *_document(report, digest, most))) + "\n"
            if len(text) <= LIMIT:
                break
        return text


def marker(report: Report) -> str:
    """The first line, which nobody sees: a bot finds its comment by it and edits that one in place."""
    words = re.sub(r"[^\w.:/ ]+", "_", one_line(report.target))  # nothing that could end a comment of HTML
    return f"<!-- ci-migrate: {words} -->"


# --------------------------------------------------------------------------- foreign text


def escape(text: str, limit: int = 300) -> str:
    """Foreign text as one line of plain prose, also inside a table: no markup, no HTML, nobody mentioned."""
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}", one_line(text, limit))
    # entities would do for HTML, but not for `@`: forges look for names after they are resolved
    return escaped.replace("@", "@&#8203;")


def code(text: str, limit: int = 300) -> str:
    """Foreign text as a code span, outside of tables."""
    text = one_line(text, limit)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else ""


def cell_code(text: str, limit: int = 300) -> str:
    """Foreign text as a code span in a table, where `|` ends the cell even inside of code."""
    return code(text, limit).replace("|", "\\|")


def block(text: str, language: str = "", limit: int = 5000) -> str:
    """Foreign text of many lines, fenced."""
    text = clean(text, limit)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], most: int, columns: str) -> Iterator[str]:
    """A table of ready cells; `columns` has one of `l`, `r` for each of them."""
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---:' if c == 'r' else '---' for c in columns)} |"
    for row in rows[:most]:
        yield f"| {' | '.join(row)} |"
    yield from _more(len(rows), most)


def _more(count: int, most: int) -> Iterator[str]:
    if count > most:
        yield ""
        yield f"... and {count - most:,} more, all in `report.json`."


# --------------------------------------------------------------------------- the sections


def _document(report: Report, digest: str, most: int) -> Iterator[str]:
    yield from _headline(report)
    for warning in report.warnings[:most]:
        yield from ("", f"> ⚠️ **Warning:** {escape(warning)}")
    yield from _more(len(report.warnings), most)
    yield from _section("Why", _why(report))
    yield from _section("Findings", _findings(report.findings, most))
    yield from _section("Next", _next(report))
    yield from _section("Stages", _stages(report))
    proofs = (
        f"- {'✅' if proved else '⚠️'} {escape(sentence, 600)}" for proved, sentence in story.proofs(report)
    )
    yield from _section("Proved", proofs)
    yield from _section("What the dry run changed", _changes(report, most))
    yield from _section("Locks held in the dry run", _measurements(report, most))
    yield from _section("Rollback path", _way_back(report, most))
    yield from _section("Plan", _plan(report, most))
    about = [f"ci-migrate {report.version}", f"run {report.run_id}", story.duration(report.seconds)]
    yield from ("", "---", escape(", ".join(about)) + (f", plan {code(digest)}" if digest else ""))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield from ("", f"### {title}", "", *found)


def _headline(report: Report) -> Iterator[str]:
    good = report.exit_code is ExitCode.OK
    yield f"## {'✅' if good else '❌'} {story.verdict(report)}: {escape(story.headline(report))}"
    yield ""
    yield f"**{escape(story.state_sentence(report), 600)}**"
    yield ""
    where = f" ({code(report.place)})" if report.place else ""
    exit_code = "" if good else f", exit code {int(report.exit_code)}"
    yield f"{code(f'ci-migrate {report.command}')} on {escape(report.target)}{where}{exit_code}"


def _why(report: Report) -> Iterator[str]:
    bad = report.first_bad
    if bad is None:
        return
    where = story.place(bad.file, bad.line)
    revision = story.failing_revision(report)
    subject = f"**{escape(bad.stage)}** {'said no' if bad.outcome is Outcome.FAILED else 'could not tell'}"
    named = f", revision {code(revision.id)}" if revision else ""
    if revision and revision.message:
        named += f" ({escape(revision.message)})"
    yield f"{code(where)}: {subject}{named}" if where else f"{subject}{named}"
    sql = story.failing_sql(report)
    if sql:
        yield from ("", block(sql, "sql", 2000))
    lines = [story.first_line(bad), *story.message_rest(bad)]
    yield from ("", "> " + "<br>".join(escape(line, 1000) for line in lines))
    if report.diagnosis is not None and report.diagnosis.words:
        yield from ("", f"Found: {escape(report.diagnosis.words, 1000)}")
    if bad.details.strip():
        yield from ("", "<details><summary>Details</summary>", "", block(bad.details), "", "</details>")


def _findings(findings: Sequence[Finding], most: int) -> Iterator[str]:
    for finding in findings[:most]:
        weight = story.finding_weight(finding)
        mark = "❌" if finding.refuses else "⚠️" if weight == "warning" else "💬"
        where = story.place(finding.file, finding.line)
        head = f"{code(where)}: " if where else ""
        reason = f"; accepted: {escape(finding.acknowledged)}" if finding.acknowledged is not None else ""
        name = escape(story.finding_name(finding))
        if page := page_of(finding.code):
            name = f"[{name}]({page})"
        yield f"- {mark} {head}**{name}** ({weight}): {escape(finding.text, 600)}{reason}"
        if finding.pasted:
            yield textwrap.indent(block("\n".join(finding.pasted), "python"), "  ")
    yield from _more(len(findings), most)


def _next(report: Report) -> Iterator[str]:
    commands = story.next_lines(report)
    if commands:
        yield block("\n".join(one_line(command, 2000) for command in commands), "sh")


def _stages(report: Report) -> Iterator[str]:
    rows = [
        (
            f"{_MARK[result.outcome]} {escape(result.stage)}",
            "" if result.outcome is Outcome.SKIPPED else story.duration(result.seconds),
            escape(story.first_line(result)),
        )
        for result in report.results
    ]
    yield from table(("stage", "time", ""), rows, 20, "lrl")


def _changes(report: Report, most: int) -> Iterator[str]:
    evidence = report.evidence
    if evidence is None:
        return
    for change in evidence.changes[:most]:
        yield f"- {code(change.words)}"
    yield from _more(len(evidence.changes), most)
    rows = [
        (cell_code(name), before, after, escape(inside))
        for name, before, after, inside in story.row_changes(evidence)
    ]
    if rows and evidence.changes:
        yield ""
    yield from table(("table", "rows before", "rows after", ""), rows, most, "lrrl")


def _measurements(report: Report, most: int) -> Iterator[str]:
    evidence = report.evidence
    if evidence is None:
        return
    rows = [
        (cell_code(h.where), cell_code(h.table), cell_code(h.mode), h.time, escape(h.effect))
        for h in measured.locks_held(evidence)
    ]
    yield from table(("statement", "table", "lock", "held until the commit", ""), rows, most, "lllrl")
    in_bytes = measured.bytes_line(evidence)
    if in_bytes:
        yield from ("", f"{escape(in_bytes)}.") if rows else (f"{escape(in_bytes)}.",)


def _way_back(report: Report, most: int) -> Iterator[str]:
    evidence, backup, plan = report.evidence, report.backup, report.plan
    target = ["--target", report.target]
    if evidence is not None:
        proven = "proven" if evidence.way_back.proven else "not proven"
        command = ""
        if evidence.way_back.proven and plan is not None and len(plan.from_heads) == 1:
            rollback = shlex.join(["ci-migrate", "rollback", "--to", plan.from_heads[0], *target])
            command = f": {code(rollback)}"
        yield f"- By downgrade, {proven}{command}"
        for difference in evidence.way_back.differences[:most]:
            yield f"  - {code(difference)}"
        yield from _more(len(evidence.way_back.differences), most)
    if backup is not None:
        proven = "proven" if evidence is not None and evidence.proven else "not proven"
        restore = shlex.join(["ci-migrate", "backup", "restore", backup.backup_id, *target])
        where = f" (in {code(backup.backup_path)})" if backup.backup_path else ""
        yield f"- By restoring the backup, {proven}: {code(restore)}{where}"


def _plan(report: Report, most: int) -> Iterator[str]:
    plan = report.plan
    if plan is None:
        return
    way = f"{plan.direction.value} from {story.heads(plan.from_heads)} to {story.heads(plan.to_heads)}"
    yield f"{escape(way)}, {plural(plan.pending, 'revision')}"
    if len(plan.contexts) > 1:
        yield f"in {len(plan.contexts):,} version tables"
    yield ""
    rows = [(cell_code(r.id), escape(r.message), cell_code(r.file)) for r in plan.revisions]
    yield from table(("revision", "", "file"), rows, most, "lll")

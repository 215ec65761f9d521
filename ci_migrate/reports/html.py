"""One HTML page with all that is known of a run: self-contained, without script, readable on a phone and on paper."""

import base64
import hashlib
import shlex
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ci_migrate.errors import ExitCode
from ci_migrate.model import Evidence, Outcome, Report, Statement, TargetState, plural
from ci_migrate.reports import measured, story
from ci_migrate.reports.clean import clean, clean_report, one_line, plan_digest
from ci_migrate.reports.links import page_of
from ci_migrate.reports.schema_picture import draw
from ci_migrate.reports.touched_tables import touched_tables

if TYPE_CHECKING:
    from jinja2 import Template

MOST = 500
"""Entries of one list; the rest is counted, report.json has them all."""

SQL_LIMIT = 5000
"""Characters of one statement."""

SCALE = 1000
"""Units that a bar has from the left to the right."""

_WORD = {
    Outcome.PASSED: ("ok", "good-word"),
    Outcome.FAILED: ("FAILED", "bad-word"),
    Outcome.ERROR: ("ERROR", "bad-word"),
    Outcome.SKIPPED: ("skipped", "quiet"),
}


class HtmlReporter:
    """`report.html`. Its content policy allows its own style sheet and nothing else, so that no text in it can act."""

    format = "html"
    file = "report.html"

    def render(self, report: Report) -> str:
        """The document."""
        digest = plan_digest(report)
        report = clean_report(report)
        evidence, bad = report.evidence, report.first_bad
        template, style = _template()
        return template.render(
            style=style,
            style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
            report=report,
            story=story,
            page_of=page_of,
            most=MOST,
            digest=digest,
            good=report.exit_code is ExitCode.OK,
            verdict=story.verdict(report),
            bad=bad,
            where=story.place(bad.file, bad.line) if bad else "",
            revision=story.failing_revision(report),
            glance=_glance(report),
            sql=clean(story.failing_sql(report), SQL_LIMIT).strip("\n"),
            next_commands=story.next_lines(report),
            stages=_stages(report),
            proofs=list(story.proofs(report)),
            evidence=evidence,
            drawn=draw(touched_tables(evidence)) if evidence else None,
            rows=story.row_changes(evidence) if evidence else [],
            locks=_locks(evidence) if evidence else [],
            locks_end=story.duration(_starts(evidence)[-1]) if evidence else "",
            bytes_line=measured.bytes_line(evidence) if evidence else "",
            statements=_statements(report, evidence) if evidence else [],
            ways_back=_ways_back(report),
            plan=report.plan,
            approval=report.approval,
        )


@cache
def _template() -> "tuple[Template, str]":
    from jinja2 import Environment, StrictUndefined  # here: whoever asks for no page needs none of it

    page = files("ci_migrate.reports") / "page"
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    style = (page / "page.css").read_text(encoding="utf-8")
    return environment.from_string((page / "page.html").read_text(encoding="utf-8")), style


# --------------------------------------------------------------------------- what the lists show


def _glance(report: Report) -> list[tuple[str, str, str, str]]:
    """What somebody asks who has ten seconds: (question, answer, its weight, what it rests on)."""
    evidence, dry_run = report.evidence, report.result("dry-run")
    tiles = [("Database", report.state.value, _weight_of(report), story.heads_now(report))]
    if report.backup is not None:
        proven = evidence is not None and evidence.proven
        answer = "restored and compared" if proven else "not proven"
        taken = report.result("backup")
        reused = taken.reused if taken is not None else None
        weight = "good" if proven and reused is None else "warn"
        rests = story.kept(report.backup)
        if reused is not None:
            rests += f", taken {story.duration(reused.seconds)} before"
        tiles.append(("Backup", answer, weight, rests))
    if dry_run is not None and dry_run.outcome is not Outcome.SKIPPED:
        passed = dry_run.outcome is Outcome.PASSED
        took = story.duration(evidence.migrate_seconds) if evidence else story.duration(dry_run.seconds)
        if dry_run.reused is not None:
            age = story.duration(dry_run.reused.seconds)
            tiles.append(("Rehearsal", "reused", "warn", f"of run {dry_run.reused.run_id}, {age} before"))
        elif evidence is not None and evidence.without_rows:
            tiles.append(("Rehearsal", "without rows", "warn" if passed else "bad", took))
        else:
            tiles.append(("Rehearsal", "passed" if passed else "said no", "good" if passed else "bad", took))
    weights = [story.finding_weight(finding) for finding in report.findings]
    if weights:
        counts = {weight: weights.count(weight) for weight in dict.fromkeys(weights)}
        counted = ", ".join(plural(n, w) if w == "warning" else f"{n} {w}" for w, n in counts.items())
        kind = "bad" if "refused" in weights else "warn" if "warning" in weights else "quiet"
        tiles.append(("Findings", counted, kind, ""))
    if evidence is not None and evidence.way_back.tried:
        way = evidence.way_back.proven
        tiles.append(
            ("Rollback path", "downgrade, proven" if way else "the backup", "good" if way else "warn", "")
        )
    held = [lock for lock in measured.locks_held(evidence) if lock.blocks] if evidence is not None else []
    if held:
        tiles.append(("Longest lock", held[0].time, "quiet", held[0].table))
    return tiles


def _weight_of(report: Report) -> str:
    if report.exit_code is ExitCode.OK:
        return "good"
    return "quiet" if report.state in (TargetState.UNTOUCHED, TargetState.AS_BEFORE) else "bad"


def _stages(report: Report) -> list[dict[str, Any]]:
    """The stages with their bars, one after the other."""
    total = sum(result.seconds for result in report.results)
    rows, start = [], 0.0
    for result in report.results:
        word, kind = _WORD[result.outcome]
        skipped = result.outcome is Outcome.SKIPPED
        rows.append(
            {
                "name": result.stage,
                "word": word,
                "kind": kind,
                "said": story.first_line(result),
                "time": "" if skipped else story.duration(result.seconds),
                **_bar(start, result.seconds, total),
            }
        )
        start += result.seconds
    return rows


def _bar(start: float, seconds: float, total: float) -> dict[str, str]:
    """Where a bar begins and how wide it is; what takes nearly no time is still to be seen."""
    unit = SCALE / total if total > 0 else 0.0
    left, wide = min(start * unit, SCALE - 3.0), max(seconds * unit, 3.0)
    return {"start": f"{left:.1f}", "width": f"{min(wide, SCALE - left):.1f}"}


def _starts(evidence: Evidence) -> list[float]:
    """When each statement began, in seconds of the statements' own time, and when the last one ended."""
    starts = [0.0]
    for statement in evidence.statements:
        starts.append(starts[-1] + statement.seconds)
    return starts


def _locks(evidence: Evidence) -> list[dict[str, Any]]:
    starts = _starts(evidence)
    return [
        {
            "table": held.table,
            "mode": held.mode,
            "effect": held.effect,
            "where": held.where,
            "time": held.time,
            "kind": "bad" if held.blocks.startswith("reads") else "warn" if held.blocks else "",
            **_bar(starts[held.statement], held.seconds, starts[-1]),
        }
        for held in measured.locks_held(evidence)
    ]


def _statements(report: Report, evidence: Evidence) -> list[dict[str, Any]]:
    """By revision, in the order in which they were sent."""
    starts, failing = _starts(evidence), story.failing_revision(report)
    messages = {r.id: r.message for r in report.plan.revisions} if report.plan else {}
    groups = []
    shown = zip(evidence.statements[:MOST], starts, strict=False)
    for (_, revision), found in groupby(shown, key=lambda pair: (pair[0].context, pair[0].revision)):
        name = f"{revision} {messages.get(revision, '')}".rstrip() if revision else "env.py"
        statements = [_statement(statement, start, starts[-1]) for statement, start in found]
        groups.append(
            {
                "name": f"{name}: {plural(len(statements), 'statement')}",
                "failing": failing is not None and failing.id == revision,
                "statements": statements,
            }
        )
    return groups


def _statement(statement: Statement, start: float, total: float) -> dict[str, Any]:
    said = [story.duration(statement.seconds)]
    if statement.rows is not None and statement.rows >= 0:
        said.insert(0, plural(statement.rows, "row"))
    if statement.repeats > 1:
        said.insert(0, f"{statement.repeats:,} times")
    if statement.rewrites:
        said.insert(0, f"writes {', '.join(statement.rewrites)} anew")
    return {
        "position": statement.position,
        "where": story.place(statement.file, statement.line),
        "said": ", ".join(said),
        "sql": clean(statement.sql, SQL_LIMIT),
        **_bar(start, statement.seconds, total),
    }


def _ways_back(report: Report) -> list[str]:
    """The commands that lead back, the proven ones alone for the downgrade."""
    evidence, backup, plan = report.evidence, report.backup, report.plan
    target = ["--target", report.target]
    commands = []
    if evidence is not None and evidence.way_back.proven and plan is not None and len(plan.from_heads) == 1:
        commands.append(["ci-migrate", "rollback", "--to", plan.from_heads[0], *target])
    if backup is not None:
        commands.append(["ci-migrate", "backup", "restore", backup.backup_id, *target])
    return [one_line(shlex.join(command), 2000) for command in commands]

"""check: reads the revision graph and the target read-only, builds the Plan, runs every static check."""

from collections.abc import Mapping

from ci_migrate.checks.base import Facts
from ci_migrate.checks.edited_after_applied import accept_baselines
from ci_migrate.databases.base import KnowsRights
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.scripts import codes_of, note_codes
from ci_migrate.migrations import events
from ci_migrate.migrations.code import code_digest
from ci_migrate.migrations.graph import Inspection, baselines_in, relative
from ci_migrate.model import (
    Approval,
    Direction,
    Finding,
    Outcome,
    Plan,
    Report,
    Severity,
    StageResult,
    TargetState,
    plural,
    sha256_hex,
    show_heads,
)
from ci_migrate.run.approvals import claim_approval, reserve_approval, tell_refused
from ci_migrate.run.authorization import asked_before, asks
from ci_migrate.run.emptied import refuse_emptied
from ci_migrate.run.identity import database_of
from ci_migrate.run.inputs import look_at_target
from ci_migrate.run.run import Run, require_ledger
from ci_migrate.run.since_last_run import left_by_last_run
from ci_migrate.run.version_rows import look_at_unstamped, refuse_rows
from ci_migrate.run.ways_back import with_other_way


def run_stage(run: Run, _report: Report) -> StageResult:
    """Build the plan and look at it."""
    run.reader.ping()
    plan, found = look_at_target(run)
    refuse_rows(run, found, plan)
    refuse_emptied(run, plan)
    assert found.graph is not None
    findings = accept_baselines(
        run.look(_facts(run, plan, found), measured=False, more=_writes_at_load(found)),
        baselines_in(found.graph),
    )
    refused = next((f for f in findings if f.refuses), None)
    if refused is not None:
        result = StageResult(
            stage="check",
            outcome=Outcome.FAILED,
            message=f"{refused.code} {refused.name}: {refused.message}",
            file=refused.file,
            line=refused.line,
            findings=findings,
            plan=plan,
            state=TargetState.UNTOUCHED,
        )
        return with_other_way(run, plan, result)
    if plan.pending and _rehearses(run) and isinstance(run.copies, KnowsRights):
        run.copies.refuse_scratch()  # before a backup is taken that could not be rehearsed on
    return StageResult(
        stage="check",
        outcome=Outcome.PASSED,
        approval=_reserve(run, plan),
        message=_describe(run, plan),
        findings=findings,
        plan=plan,
        state=TargetState.UNTOUCHED,
    )


def _facts(run: Run, plan: Plan, found: Inspection) -> Facts:
    """What the static checks look at."""
    assert found.graph is not None
    applied = run.ledger.applied_files(database_of(run)) if run.ledger is not None else {}
    scripts = _script_files(run, found.graph, set(applied))
    if run.ledger is not None:
        applied = _edited_in_code(run, run.ledger, plan, scripts, applied)
    since, outside = left_by_last_run(run)
    tables, lost_history = look_at_unstamped(run, plan)
    return Facts(
        plan=plan,
        unstamped_tables=tables,
        lost_history=lost_history,
        outside=outside,
        outside_since=since.run_id if since is not None else "",
        script_files=scripts,
        applied_files=applied,
        require_downgrade=run.settings.require_downgrade,
        known_revisions=tuple(r.id for r in found.graph.revisions),
    )


def _reserve(run: Run, plan: Plan) -> Approval | None:
    """The approval that this run came with, from now on its own; None where it needs none.

    Raises:
        NotApprovedError: the token does not fit what is asked.
    """
    if run.token is None or run.ledger is None or plan.changes_nothing:
        return None
    if run.unfit is not None:
        tell_refused(run, run.unfit)
        raise run.unfit
    stages = asked_before(run)
    approval = reserve_approval(run, plan, stages=stages) if asks(run) else None
    if approval is not None and "check" in stages:
        claim_approval(require_ledger(run), approval)
    return approval


def _describe(run: Run, plan: Plan) -> str:
    at = show_heads([c.from_heads for c in plan.contexts])
    if plan.changes_nothing:
        return f"Nothing to do: {plan.identity.place} is at {at}."
    stamps = run.direction is Direction.STAMP
    what = "Version rows to write" if stamps else f"{plural(plan.pending, 'revision')} to run"
    return f"{what}: {at} -> {show_heads([c.to_heads for c in plan.contexts])}"


def _rehearses(run: Run) -> bool:
    """Whether a scratch copy will be made, in which a backup of our own is restored."""
    return (
        "dry-run" in run.verb.stages
        and run.settings.dry_run == "backup"
        and run.settings.auto_backup
        and run.settings.provider != "command"
    )


def _script_files(run: Run, graph: events.Graph, wanted: set[str]) -> dict[str, tuple[str, str]]:
    """File and sha256 of the scripts whose applied text is known."""
    from pathlib import Path

    # of those alone whose applied text is known: a long history has thousands of files
    return {
        r.id: (relative(r.file, run.settings.project_dir), sha256_hex(Path(r.file).read_bytes()))
        for r in graph.revisions
        if r.id in wanted
    }


def _edited_in_code(
    run: Run, ledger: Ledger, plan: Plan, scripts: Mapping[str, tuple[str, str]], applied: Mapping[str, str]
) -> dict[str, str]:
    """What was applied, without the revisions whose text is another one now and does the same."""

    def code(file: str, sha256: str) -> str:
        data = (run.settings.project_dir / file).read_bytes()
        return code_digest(data) if sha256_hex(data) == sha256 else ""  # else it was edited just now

    edited = {r: text for r, text in applied.items() if r in scripts and scripts[r][1] != text}
    known = codes_of(ledger, applied.values())
    if run.verb.creates_ledger:  # while the text is still the one that ran: nobody can tell later
        there = {text: scripts[r][0] for r, text in applied.items() if r in scripts and r not in edited}
        there |= {r.sha256: r.file for r in plan.revisions}
        note_codes(ledger, {text: code(file, text) for text, file in there.items() if text not in known})
    same = {r for r, text in edited.items() if known.get(text) and known[text] == code(*scripts[r])}
    return {r: text for r, text in applied.items() if r not in same}


def _writes_at_load(found: Inspection) -> tuple[Finding, ...]:
    if not found.writes_at_load:
        return ()
    first = " ".join(found.writes_at_load[0].split())[:160]
    return (
        Finding(
            code="CM104",
            name="env-writes-at-load",
            severity=Severity.WARNING,
            message="env.py writes when it is only loaded "
            f"({plural(len(found.writes_at_load), 'statement')}, first: {first}). They were "
            "not sent now; the dry run and the migration send them.",
        ),
    )

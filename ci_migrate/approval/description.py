"""What an approver is asked for, in words: the same on a terminal, before a signature, and on the page."""

from datetime import UTC, datetime

from ci_migrate.approval.request import ApprovalRequest
from ci_migrate.approval.verification import plain
from ci_migrate.model import (
    BackfillRun,
    NamedRehearsal,
    Plan,
    Purpose,
    Removal,
    Restoration,
    RunRepair,
    Severity,
    show_heads,
)
from ci_migrate.reports.story import NO_TABLE

_SHOWN = 20


def describe_request(request: ApprovalRequest) -> list[str]:
    """What is about to be approved, for the one who signs it or says yes to it: lines without control characters."""
    plan, evidence = request.plan, request.evidence
    what = f"{plan.purpose} of {plan.identity.place} (target {request.target})"
    lines = [f"{what}, asked for by {request.requester or 'nobody'}:"]
    if isinstance(plan, Plan):
        lines += _revisions(plan)
    if not isinstance(plan, Plan) or plan.purpose == Purpose.RESTORE:
        lines.append(f"  {plan.destination}")
        if isinstance(plan, Restoration):
            lines.append(f"  sha256 of its manifest: {plan.manifest_sha256}")
        if isinstance(plan, Removal):
            known = zip(plan.names, plan.manifests, strict=False)
            lines += [
                f"  sha256 of the manifest of {name}: {digest or 'never finished'}" for name, digest in known
            ]
        if isinstance(plan, RunRepair) and not plan.accepts:
            lines += [f"  {words}" for words in plan.does] or ["  no repair fits that writes"]
        if isinstance(plan, BackfillRun):
            lines += [f"  {words}" for words in plan.statement.splitlines()]
    elif evidence is None:
        lines.append("  There was no dry run.")
    else:
        proven = "backup proven" if evidence.proven else f"backup unproven: {evidence.unproven_reason}"
        lines.append(f"  {proven}; {evidence.statements} statements in {evidence.migrate_seconds:.1f} s")
        if evidence.without_rows:
            lines.append(
                "  The dry run had no rows: what is lost, how long it takes and what fails on rows is not known."
            )
        changed = [f"  rows {n}: {_rows(r.before)} -> {_rows(r.after)}" for n, r in evidence.rows.items()]
        lines += changed[:_SHOWN]
        if changed:
            lines.append(f"  {request.rows_tolerance}")
    lines += describe_rehearsal(request.rehearsal)
    lines += _inputs(request)
    findings = sorted(request.findings, key=lambda f: list(Severity).index(f.severity))
    lines += [f"  {f.severity.value} {f.code} {f.name}: {f.text}" for f in findings[:_SHOWN]]
    if len(findings) > _SHOWN:
        lines.append(f"  and {len(findings) - _SHOWN} more findings")
    # each line by itself: a message with line ends in it could write lines of its own above the question
    return list(map(plain, lines))


def describe_rehearsal(named: NamedRehearsal | None) -> list[str]:
    """Which dry run was looked at, and that the approved run may use it again, if it may."""
    if named is None:
        return []
    lines = [f"  dry run of {_time(named.at)} (run {named.run_id})"]
    if named.until is not None:
        lines += [
            f"  Until {_time(named.until)} the approved run may use this dry run again, and {named.backup_id}.",
            f"  What is written after {_time(named.backup_time)} is then neither in the backup nor rehearsed.",
        ]
    return lines


def _inputs(request: ApprovalRequest) -> list[str]:
    """What is executed and read, and what of it is new to whoever approved last."""
    inputs = request.inputs
    if not inputs:
        return []
    bound = request.evidence.exact if request.evidence is not None else 0
    lines = [f"  inputs: {len(inputs.files)} files, {len(inputs.distributions)} distributions"]
    if request.evidence is not None:
        lines[0] += f"; {bound} of the statements word for word, the others by their form"
    if request.inputs_since:
        lines.append(f"  since the last approved run ({request.inputs_since}):")
        lines += [f"    {words}" for words in request.inputs_changed[:_SHOWN]] or ["    nothing changed"]
        more = len(request.inputs_changed) - _SHOWN
        lines += [f"    and {more} more"] if more > 0 else []
    return lines


def _revisions(plan: Plan) -> list[str]:
    before, after = (show_heads([getattr(c, h) for c in plan.contexts]) for h in ("from_heads", "to_heads"))
    lines = [
        f"  {before} -> {after}",
        *(f"  {r.id}  {r.message}  {r.file}" for r in plan.revisions[:_SHOWN]),
    ]
    more = len(plan.revisions) - _SHOWN
    return [*lines, f"  and {more} more"] if more > 0 else lines


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _rows(count: int | None) -> str:
    return NO_TABLE if count is None else f"{count:,}"

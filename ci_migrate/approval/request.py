"""approval-request.json: what an approver reads before saying yes, and how to say it."""

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from ci_migrate import __version__
from ci_migrate.approval.command_lines import generate_command
from ci_migrate.approval.payload import (
    BEFORE_WRITING,
    ROWS_TOLERANCE,
    ApprovalPayload,
    evidence_digest,
    files_digest,
    list_changes,
    new_nonce,
    stage_of,
)
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.ledger.tables import printable
from ci_migrate.model import (
    Approvable,
    Evidence,
    Finding,
    Frozen,
    Inputs,
    NamedRehearsal,
    Plan,
    Purpose,
    TableEvidence,
    decode_approvable,
    now,
)
from ci_migrate.tempdirs import create_file, make_folder

FILE_NAME = "approval-request.json"


class RowsChange(Frozen, frozen=True, kw_only=True):
    """Rows of a table before and after the dry run; None where the table did not exist."""

    before: int | None
    after: int | None


class EvidenceSummary(Frozen, frozen=True, kw_only=True):
    """What the dry run measured, in short. `rows` holds the tables whose number of rows changed.

    `exact` is how many of the statements are bound word for word, with their values; the others are by their form.
    `without_rows`: the dry run had a copy without rows.
    """

    proven: bool
    unproven_reason: str
    statements: int
    stream_digest: str
    before_digest: str = ""
    restore_seconds: float
    migrate_seconds: float
    changes: tuple[str, ...]
    rows: dict[str, RowsChange]
    way_back_proven: bool
    way_back_reason: str
    exact: int = 0
    without_rows: bool = False
    inputs: Inputs = Inputs()  # what the dry run executed and read beyond the plan's


class ApprovalRequest(Frozen, frozen=True, kw_only=True):
    """What a run that lacks an approval asks for. `how_to_approve`: the commands, in order.

    `target_uuid` is "" where no ledger has given the target one; then nothing can be signed. `stages` may be done.
    `inputs_changed` is what is not as it was in `inputs_since`, the last run of this database that was approved.
    `rehearsal` is the dry run that `evidence` is of, as the token will name it.
    """

    format: int = 1
    created: datetime
    target: str
    place: str
    plan_digest: str
    plan: Approvable
    evidence: EvidenceSummary | None
    findings: tuple[Finding, ...]
    how_to_approve: tuple[str, ...]
    target_uuid: str = ""
    commit: str | None = None
    evidence_digest: str | None = None
    requester: str = ""
    stages: tuple[str, ...] = ("migrate",)
    validity_minutes: int = 30
    tool_version: str = __version__
    rows_tolerance: str = ROWS_TOLERANCE
    inputs_since: str = ""
    inputs_changed: tuple[str, ...] = ()
    rehearsal: NamedRehearsal | None = None

    @property
    def inputs(self) -> Inputs:
        """All that is approved: what the plan names, and what the dry run executed and read besides."""
        plan = self.plan.inputs if isinstance(self.plan, Plan) else Inputs()
        return plan if self.evidence is None else plan.plus(self.evidence.inputs)


REQUEST_LIMIT = 64 * 1024 * 1024


def read_request(path: Path) -> ApprovalRequest:
    """The request in a file.

    Raises:
        UsageError: it can't be read, or is not what a run wrote.
    """
    return decode_request(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """What a file of a request holds. Raises UsageError: it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(REQUEST_LIMIT)
    except OSError as error:
        raise UsageError(f"The request {path} can't be read: {error.strerror}.") from error


def decode_request(data: bytes, path: Path) -> ApprovalRequest:
    """The request that a file holds, if it can be signed.

    Raises:
        UsageError: it is none, or its plan or evidence is not the one that its digests name.
    """
    try:
        request = msgspec.json.decode(data, type=ApprovalRequest, dec_hook=decode_approvable)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is no approval request.", hint=f"It is the file {FILE_NAME} of the run that stopped."
        ) from error
    check_request(request, path)
    return request


def check_request(request: ApprovalRequest, path: Path) -> None:
    """Raise UsageError unless a request can be signed: it says what its digests say, of what, and who asks."""
    digest = digest_of_evidence(request.plan, request.evidence, request.findings)
    if request.plan.digest != request.plan_digest or request.evidence_digest != digest:
        raise UsageError(
            f"{path}: its plan or its evidence is not the one that its digests name.",
            hint="Somebody edited it, or another version of ci-migrate wrote it. Run again.",
        )
    known = [(stage_of(request.plan),), *((stage,) for stage in BEFORE_WRITING)]
    if request.target != request.plan.target or request.stages not in known:
        raise UsageError(f"{path}: target or stages are not those of its plan.", hint="Run again.")
    if not request.target_uuid or not request.requester:
        raise UsageError(
            f"{path} can't be signed: it does not say which ledger's target it is for, or who asks.",
            hint="Run again with this version of ci-migrate.",
        )


def refuse_no_reason(reason: str) -> None:
    """Raise UsageError where an approval gives no reason."""
    if not reason.strip():
        raise UsageError("An approval needs a reason.", hint="Say why: --reason 'ticket 4711: ...'")


def payload_of(
    request: ApprovalRequest, *, reason: str, stages: Sequence[str], minutes: int, moment: datetime
) -> ApprovalPayload:
    """What an approver signs.

    Args:
        request: what is asked for.
        reason: why it is approved.
        stages: what may be done: "migrate", and rollback paths.
        minutes: how long it counts.
        moment: now, UTC. A minute earlier is written: the database's clock may be a little behind.

    Raises:
        UsageError: there is no reason.
    """
    refuse_no_reason(reason)
    plan, issued = request.plan, moment - timedelta(minutes=1)
    return ApprovalPayload(
        target=request.target,
        target_uuid=request.target_uuid,
        identity=plan.identity,
        plan_digest=plan.digest,
        direction=Purpose(plan.purpose),
        from_heads=plan.from_heads,
        destination=plan.destination,
        files_digest=files_digest(plan),
        commit=request.commit,
        evidence_digest=request.evidence_digest,
        inputs_digest=request.inputs.digest or msgspec.UNSET,
        rows=changes_of(request) if request.evidence is not None else msgspec.UNSET,
        rehearsal=request.rehearsal or msgspec.UNSET,
        stages=tuple(stages),
        requester=request.requester,
        reason=reason.strip(),
        issued=issued,
        not_before=issued,
        expires=moment + timedelta(minutes=minutes),
        nonce=new_nonce(),
        tool_version=__version__,
    )


def approval_request(
    plan: Approvable,
    evidence: Evidence | None,
    findings: Sequence[Finding],
    target: str,
    command_line: str,
    *,
    target_uuid: str = "",
    requester: str = "",
    commit: str | None = None,
    validity_minutes: int = 30,
    stage: str | None = None,
    last: tuple[str, Inputs] | None = None,
    rehearsal: NamedRehearsal | None = None,
) -> ApprovalRequest:
    """The request of a run.

    Args:
        plan: what is to be approved.
        evidence: of the dry run; None where there was none.
        findings: of all checks, acknowledged ones included: the approver sees what was waved through.
        target: its name in the settings.
        command_line: the command that goes on, once there is a token.
        target_uuid: what the ledger calls the target; "" where there is none, and nothing can be signed.
        requester: who asks.
        commit: what is checked out, if that is known: then the approval is for this commit alone.
        validity_minutes: how long a token counts, unless its signer says otherwise.
        stage: the tagged stage before the migration that it is for; None for the plan itself.
        last: the last run of this database that was approved, and its inputs; None where it is not known.
        rehearsal: the dry run that `evidence` is of; None where there was none, or the ledger does not know it.
    """
    summary = None if evidence is None else _summary(evidence)
    request = ApprovalRequest(
        created=now(),
        target=target,
        place=plan.identity.place,
        plan_digest=plan.digest,
        plan=plan,
        evidence=summary,
        findings=tuple(findings),
        how_to_approve=(
            f"{shlex.join(generate_command(plan))} --reason '...'",
            f"CI_MIGRATE_TOKEN=TOKEN {command_line}",
        ),
        target_uuid=target_uuid,
        commit=commit,
        evidence_digest=digest_of_evidence(plan, summary, findings),
        requester=requester,
        stages=(stage or stage_of(plan),),
        validity_minutes=validity_minutes,
        rehearsal=rehearsal,
    )
    if last is None or not request.inputs:
        return request
    run_id, inputs = last
    changed = tuple(inputs.changes_to(request.inputs))
    return msgspec.structs.replace(request, inputs_since=run_id, inputs_changed=changed)


def write_request(request: Frozen, path: Path) -> Path:
    """Write a request as JSON; whole or not at all. Returns the path.

    Raises:
        CiMigrateError: the file can't be written.
    """
    text = msgspec.json.format(msgspec.json.encode(printable(msgspec.to_builtins(request))), indent=2)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make_folder(path.parent)
        create_file(beside, text + b"\n")
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise CiMigrateError(
            f"The approval request {path} could not be written: {error.strerror}.",
            hint="Make the folder of the reports writable.",
        ) from error
    return path


def digest_of_evidence(
    plan: Approvable, evidence: EvidenceSummary | None, findings: Sequence[Finding]
) -> str | None:
    """What an approval binds of a dry run; None where there was none."""
    if evidence is None:
        return None
    return evidence_digest(
        plan.digest,
        evidence.before_digest,
        evidence.stream_digest,
        findings,
        without_rows=evidence.without_rows,
    )


def _summary(evidence: Evidence) -> EvidenceSummary:
    return EvidenceSummary(
        proven=evidence.proven,
        unproven_reason=evidence.unproven_reason,
        statements=sum(statement.repeats for statement in evidence.statements),
        stream_digest=evidence.stream_digest,
        before_digest=evidence.before.digest,
        restore_seconds=evidence.restore_seconds,
        migrate_seconds=evidence.migrate_seconds,
        changes=tuple(change.words for change in evidence.changes),
        rows={name: rows for name, table in evidence.tables.items() if (rows := _rows(table)) is not None},
        way_back_proven=evidence.way_back.proven,
        way_back_reason=evidence.way_back.reason,
        without_rows=evidence.without_rows,
        exact=sum(bool(statement.exact) for statement in evidence.statements),
        inputs=evidence.inputs,
    )


def changes_of(request: ApprovalRequest) -> dict[str, int]:
    """What is signed of the rows: of those that the approver was shown."""
    rows = request.evidence.rows if request.evidence is not None else {}
    return list_changes({name: (r.after or 0) - (r.before or 0) for name, r in rows.items()})


def _rows(table: TableEvidence) -> RowsChange | None:
    before = None if table.before is None else table.before.rows
    after = None if table.after is None else table.after.rows
    return None if before == after else RowsChange(before=before, after=after)

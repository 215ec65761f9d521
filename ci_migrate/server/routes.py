"""The endpoints: each reads what it was sent, has the work done, and says what came of it."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Header, Path, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import Field
from starlette.responses import JSONResponse, Response, StreamingResponse

from ci_migrate.errors import ExitCode
from ci_migrate.ledger import audit, jobs
from ci_migrate.ledger.jobs import Job, JobStatus
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.model import Backup
from ci_migrate.operations.tokens import Wanted
from ci_migrate.server.access import Admin, Approver, Caller, Operator, Viewer
from ci_migrate.server.bodies import (
    TEXT,
    TOKEN_LENGTH,
    BackupBody,
    Confirmation,
    ConfirmedMigration,
    Deleted,
    DoneBackup,
    Dropped,
    History,
    JobBody,
    Migrated,
    Pruned,
    Repaired,
    Requested,
    Stamp,
    StatusBody,
    Token,
    Validity,
    Verified,
)
from ci_migrate.server.problems import STATUS, ProblemError, documented, problem
from ci_migrate.server.wording import PREFIX
from ci_migrate.server.work import Answer, Work, backup_body

POLL = 0.5
"""Seconds between two looks at a job that somebody listens to."""

BASE64URL = r"^[0-9A-Za-z_=-]+$"
"""What tokens are written with; anything else grows in a URL beyond what a server reads."""

BACKUP = r"^[0-9A-Za-z_.+-]+$"
JOB = r"^job_[0-9]{14}_[0-9a-f]{12}$"

ALWAYS = documented(400, 401, 403, 413, 429, 500, 503)
WORKS = {
    **documented(404, 422, 423, 424),
    202: {"model": JobBody, "description": "With `Prefer: respond-async`."},
}

router = APIRouter(prefix=PREFIX, responses=ALWAYS)

Prefer = Annotated[
    str, Header(max_length=1000, description="`respond-async`: answer at once, with a job to poll.")
]
TargetVersion = Annotated[str, Query(alias="targetVersion", min_length=1, max_length=255, pattern=TEXT)]
BackupId = Annotated[str, Path(alias="backupId", max_length=255, pattern=BACKUP)]
JobId = Annotated[str, Path(alias="jobId", pattern=JOB)]
Confirmed = Annotated[Confirmation | None, Body()]


# --------------------------------------------------------------------------- migrations


@router.post("/migrate", responses={**WORKS, 200: {"model": Migrated}})
async def migrate(caller: Operator, prefer: Prefer = "") -> Response:
    """Migrate without a dry run and without a confirmation. Refused on production."""
    return await _job(caller, prefer, "migrate")


@router.post("/migrate-with-backup", responses={**WORKS, 200: {"model": Migrated}})
async def migrate_with_backup(
    caller: Operator, create_backup: Annotated[bool, Query(alias="createBackup")] = True, prefer: Prefer = ""
) -> Response:
    """Back up, rehearse on the restored backup, migrate, verify."""
    return await _job(caller, prefer, "run", create_backup=create_backup)


@router.post("/migrate-with-confirmation", responses={**WORKS, 200: {"model": Migrated}})
async def migrate_with_confirmation(
    caller: Operator, body: ConfirmedMigration, prefer: Prefer = ""
) -> Response:
    """The same with an approval token, which fits one plan, once."""
    return await _job(
        caller,
        prefer,
        "run",
        token=body.confirmation_token,
        confirmed_by=body.confirmed_by,
        reason=body.reason,
        create_backup=body.create_backup,
    )


@router.post("/rollback", responses={**WORKS, 200: {"model": Migrated}})
async def rollback(
    caller: Operator, target_version: TargetVersion, body: Confirmed = None, prefer: Prefer = ""
) -> Response:
    """Go back to a revision by its downgrade, rehearsed first. Refused where that loses rows or values."""
    return await _job(caller, prefer, "rollback", destination=target_version, **_confirmed(body))


@router.post("/dry-run", responses={**WORKS, 200: {"model": Migrated}})
async def dry_run(caller: Operator, prefer: Prefer = "") -> Response:
    """Back up, and rehearse on the restored backup; the target is not written."""
    return await _job(caller, prefer, "dry-run")


@router.post("/repair", responses={**WORKS, 200: {"model": Repaired}})
async def repair(
    caller: Operator,
    only_show: Annotated[bool, Query(alias="dryRun", description="Only say what would be done.")] = False,
    forward: Annotated[bool, Query(description="Run what is left instead of going back.")] = False,
    accept_foreign: Annotated[
        bool, Query(alias="acceptForeign", description="What somebody else changed in the schema stays.")
    ] = False,
    body: Confirmed = None,
    prefer: Prefer = "",
) -> Response:
    """Say what state an unfinished run left the target in, mend it, prove it."""
    how = {"dry_run": only_show, "forward": forward, "accept_foreign": accept_foreign, **_confirmed(body)}
    return await _job(caller, prefer, "repair", **how)


@router.post("/stamp", responses={**WORKS, 200: {"model": Migrated}})
async def stamp(
    caller: Admin,
    revision: Annotated[str, Query(min_length=1, max_length=255, pattern=TEXT)],
    body: Stamp,
    purge: Annotated[bool, Query(description="Take all version rows away first.")] = False,
    prefer: Prefer = "",
) -> Response:
    """Mark a revision; nothing else is run."""
    how = {"token": body.confirmation_token, "confirmed_by": body.confirmed_by, "reason": body.reason}
    return await _job(caller, prefer, "stamp", destination=revision, purge=purge, **how)


# --------------------------------------------------------------------------- looking


@router.get("/status", responses={200: {"model": StatusBody}, **documented(422)})
async def status(caller: Viewer) -> Response:
    """Where the target is, the last run, what was left unfinished, and what to do."""
    return _response(await run_in_threadpool(caller.service.ask, _work(caller, "status")))


@router.get("/history", responses={200: {"model": History}})
async def history(caller: Viewer, limit: Annotated[int, Query(ge=1, le=10_000)] = 20) -> Response:
    """The runs of the target, the newest first."""
    return _response(await run_in_threadpool(caller.service.ask, _work(caller, "history", limit=limit)))


@router.get("/plan", responses={200: {"model": Migrated}, **documented(422)})
async def plan(caller: Operator) -> Response:
    """What would run; the checks that need no copy."""
    return _response(await run_in_threadpool(caller.service.ask, _work(caller, "plan")))


@router.post("/verify", responses={200: {"model": Verified}, **documented(422)})
async def verify(caller: Operator) -> Response:
    """Compare the target with what the last migration left; 422 where it differs."""
    return _response(await run_in_threadpool(caller.service.ask, _work(caller, "verify")))


# --------------------------------------------------------------------------- tokens


def what_for(
    target_version: Annotated[
        str | None,
        Query(
            alias="targetVersion", min_length=1, max_length=255, pattern=TEXT, description="A rollback to it."
        ),
    ] = None,
    stamp: Annotated[
        str | None, Query(min_length=1, max_length=255, pattern=TEXT, description="A stamp of this revision.")
    ] = None,
    backup_id: Annotated[
        str | None,
        Query(alias="backupId", max_length=255, pattern=BACKUP, description="A restore of this backup."),
    ] = None,
    tables: Annotated[
        list[str] | None,
        Query(max_length=200, description="With `backupId`: the rows of these tables alone."),
    ] = None,
    delete_backup: Annotated[
        list[Annotated[str, Field(max_length=255, pattern=BACKUP)]] | None,
        Query(alias="deleteBackup", max_length=200, description="A deletion, or a prune, of exactly these."),
    ] = None,
    drop_old: Annotated[bool, Query(alias="dropOld", description="Dropping what restores kept.")] = False,
    repair: Annotated[
        str | None, Query(max_length=255, pattern=BACKUP, description="A repair of this run.")
    ] = None,
    forward: Annotated[bool, Query(description="With `repair`: running what is left.")] = False,
    accept_foreign: Annotated[
        bool, Query(alias="acceptForeign", description="With `repair`: accepting what somebody else changed.")
    ] = False,
    protection: Annotated[
        str | None, Query(max_length=255, pattern=BACKUP, description="A change of the protection.")
    ] = None,
) -> Wanted:
    """What a token is for: one of these; without any, what is pending. Refused with 400 where several are named."""
    return Wanted(
        destination=target_version or stamp,
        rollback=target_version is not None,
        stamp=stamp is not None,
        backup_id=backup_id,
        tables=_named(tables),
        backups=tuple(delete_backup or ()),
        drop_old=drop_old,
        repair=repair,
        forward=forward,
        accept_foreign=accept_foreign,
        change=protection,
    )


WhatFor = Annotated[Wanted, Depends(what_for)]


@router.post("/request-approval", responses={200: {"model": Requested}, **documented(422)})
async def request_approval(caller: Operator, wanted: WhatFor) -> Response:
    """Ask for an approval: of a restore, a removal, a repair, or what the last dry run rehearsed. Who asks is noted."""
    return _response(
        await run_in_threadpool(caller.service.ask, _work(caller, "token request", wanted=wanted))
    )


@router.post("/generate-token", responses={200: {"model": Token}, **documented(409, 422)})
async def generate_token(
    caller: Approver,
    wanted: WhatFor,
    plan_digest: Annotated[
        str | None,
        Query(alias="planDigest", pattern=r"^[0-9a-f]{64}$", description="Of the request; refuse another."),
    ] = None,
    reason: Annotated[str, Query(max_length=1000, pattern=TEXT, description="Why it is approved.")] = "",
) -> Response:
    """A confirmation token for what is named, as it is now. 409 where approvers are registered: they sign."""
    work = _work(caller, "token generate", wanted=wanted, expected=plan_digest, reason=reason)
    answer = await run_in_threadpool(caller.service.ask, work)
    if answer.body.pop("needsApprovers", False):
        message = answer.body.pop("message")
        return problem(409, message, exitCode=answer.exit_code, **answer.body)
    return _response(answer)


@router.get("/validate-token", responses={200: {"model": Validity}, **documented(422)})
async def validate_token(
    caller: Operator,
    token: Annotated[str, Query(min_length=1, max_length=TOKEN_LENGTH, pattern=BASE64URL)],
    wanted: WhatFor,
) -> Response:
    """Whether a token could be used now, for what is named."""
    work = _work(caller, "token validate", token=token, wanted=wanted)
    answer = await run_in_threadpool(caller.service.ask, work)
    if answer.exit_code == ExitCode.NOT_APPROVED:
        return JSONResponse({"valid": False})
    return _response(answer)


# --------------------------------------------------------------------------- backups


@router.post("/backup/create", responses={**WORKS, 200: {"model": DoneBackup}})
async def backup_create(
    caller: Operator,
    migration_version: Annotated[
        str | None, Query(alias="migrationVersion", min_length=1, max_length=255, pattern=TEXT)
    ] = None,
    tables: Annotated[list[str] | None, Query(max_length=200)] = None,
    prefer: Prefer = "",
) -> Response:
    """Back the target up: whole, or the rows of some tables."""
    work = {"migration_version": migration_version, "tables": _named(tables)}
    return await _job(caller, prefer, "backup create", **work)


@router.get("/backup/list", responses={200: {"model": list[BackupBody]}})
def backup_list(caller: Viewer) -> Response:
    """The backups of the target, the oldest first; half-written ones are FAILED."""
    found = caller.target.backups().values()
    restored = _restored(caller.target.book())
    short = (
        msgspec.structs.replace(
            b, fingerprint=None, row_counts={}, contents={}, samples={}, sequences={}, files=()
        )
        for b in found
    )
    return _json([backup_body(b, restored=b.backup_id in restored) for b in short])


@router.post("/backup/prune", responses={**WORKS, 200: {"model": Pruned}})
async def backup_prune(
    caller: Admin,
    keep: Annotated[int | None, Query(ge=1, le=10_000, description="Default: keep-backups.")] = None,
    only_show: Annotated[bool, Query(alias="dryRun", description="Only say which.")] = False,
    body: Confirmed = None,
    prefer: Prefer = "",
) -> Response:
    """Delete backups older than the last migrations."""
    return await _job(caller, prefer, "backup prune", keep=keep, dry_run=only_show, **_confirmed(body))


@router.post("/backup/drop-old", responses={**WORKS, 200: {"model": Dropped}})
async def backup_drop_old(
    caller: Admin,
    only_show: Annotated[bool, Query(alias="dryRun", description="Only say which.")] = False,
    body: Confirmed = None,
    prefer: Prefer = "",
) -> Response:
    """Drop what restores of the target kept of it under other names."""
    return await _job(caller, prefer, "backup drop-old", dry_run=only_show, **_confirmed(body))


@router.get("/backup/{backupId}", responses={200: {"model": BackupBody}, **documented(404)})
def backup_show(caller: Viewer, backup_id: BackupId) -> Response:
    """The manifest of a backup."""
    backup = _known(caller, backup_id)
    return _json(backup_body(backup, restored=backup_id in _restored(caller.target.book())))


@router.post("/backup/{backupId}/restore", responses={**WORKS, 200: {"model": DoneBackup}})
async def backup_restore(
    caller: Admin,
    backup_id: BackupId,
    tables: Annotated[list[str] | None, Query(max_length=200, description="The rows of these alone.")] = None,
    body: Confirmed = None,
    prefer: Prefer = "",
) -> Response:
    """Put a backup in the place of the target, or rows of it; what it replaces is backed up first."""
    await run_in_threadpool(_known, caller, backup_id)
    how = {"backup_id": backup_id, "tables": _named(tables), **_confirmed(body)}
    return await _job(caller, prefer, "backup restore", **how)


@router.delete("/backup/{backupId}", responses={**WORKS, 200: {"model": Deleted}})
async def backup_delete(
    caller: Admin, backup_id: BackupId, body: Confirmed = None, prefer: Prefer = ""
) -> Response:
    """Delete a backup."""
    await run_in_threadpool(_known, caller, backup_id)
    return await _job(caller, prefer, "backup delete", backup_id=backup_id, **_confirmed(body))


# --------------------------------------------------------------------------- jobs


@router.get("/jobs", responses={200: {"model": list[JobBody]}})
def job_list(caller: Viewer) -> Response:
    """The last jobs of the target, the newest first."""
    return _json([_job_body(job) for job in jobs.latest(caller.target.book(), caller.target.name)])


@router.get("/jobs/{jobId}", responses={200: {"model": JobBody}, **documented(404)})
def job_show(caller: Viewer, job_id: JobId) -> Response:
    """How a job is doing, or how it ended."""
    return _json(_job_body(_find_job(caller, job_id)))


@router.get(
    "/jobs/{jobId}/events",
    responses={200: {"content": {"text/event-stream": {}}}, **documented(404)},
    response_class=StreamingResponse,
)
async def job_events(caller: Viewer, job_id: JobId) -> Response:
    """Server-sent events: the job as it is now, each stage as it ends, and the job when it has ended."""
    job = await run_in_threadpool(_find_job, caller, job_id)

    async def events() -> AsyncIterator[str]:
        current, told = job, 0
        yield _event(current.status, _job_body(current))
        while current.status is JobStatus.RUNNING:
            await asyncio.sleep(POLL)
            current = await run_in_threadpool(_find_job, caller, job_id)
            for stage in current.stages[told:]:
                yield _event("stage", stage)
            told = len(current.stages)
            if current.status is JobStatus.RUNNING:
                yield ": still running\n\n"  # keeps a proxy from closing the connection
            else:
                yield _event(current.status, _job_body(current))

    return StreamingResponse(events(), media_type="text/event-stream")


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {msgspec.json.encode(data).decode()}\n\n"


def _job_body(job: Job) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(job)
    result = body.pop("answer")
    return {**body, "message": result.get("message", ""), "result": result}


def _find_job(caller: Caller, job_id: str) -> Job:
    job = jobs.get(caller.target.book(), job_id, caller.target.name)
    if job is None:
        raise ProblemError(404, f"Target {caller.target.name} has no job {job_id}.")
    return job


# --------------------------------------------------------------------------- small


def _work(caller: Caller, action: str, **fields: Any) -> Work:
    return Work(action=action, target=caller.target.name, actor=caller.name, **fields)


async def _job(caller: Caller, prefer: str, action: str, **fields: Any) -> Response:
    """Start a job; answer when it is done, or at once where the caller prefers that."""
    started: tuple[Job, Future[Answer]] = await run_in_threadpool(
        caller.service.start, caller.target, _work(caller, action, **fields), caller.address
    )
    job, future = started
    place = {"Content-Location": f"{PREFIX}/jobs/{job.job_id}"}
    if "respond-async" in {part.partition(";")[0].strip().lower() for part in prefer.split(",")}:
        headers = {"Location": place["Content-Location"], "Preference-Applied": "respond-async"}
        return JSONResponse(_job_body(job), 202, headers)
    # a caller that goes away stops nothing: the job goes on, and can be asked for
    answer = await asyncio.shield(asyncio.wrap_future(future))
    return _response(answer, place)


def _response(answer: Answer, headers: dict[str, str] | None = None) -> Response:
    if answer.exit_code == ExitCode.OK:
        return JSONResponse(answer.body, headers=headers)
    more = {name: value for name, value in answer.body.items() if name not in ("message", "status")}
    status = STATUS[ExitCode(answer.exit_code)]
    return problem(status, answer.body["message"], headers=headers, exitCode=answer.exit_code, **more)


def _confirmed(body: Confirmation | None) -> dict[str, Any]:
    if body is None:
        return {}
    return {"token": body.confirmation_token, "confirmed_by": body.confirmed_by, "reason": body.reason}


def _named(tables: list[str] | None) -> tuple[str, ...]:
    """Names of tables. Raises 400 where one is none."""
    if any(not 0 < len(table) <= 255 or not table.isprintable() for table in tables or ()):
        raise ProblemError(400, "A table's name is empty, too long, or no text.")
    return tuple(tables or ())


def _restored(ledger: Ledger) -> frozenset[str]:
    """The ids of the backups that were restored."""
    with ledger.reading() as connection:
        return frozenset(facts["backup"] for facts in audit.facts_of(connection, "backup restored"))


def _known(caller: Caller, backup_id: str) -> Backup:
    """A backup of this target's. Raises 404 where it has none of this id."""
    backup = caller.target.backups().get(backup_id)
    if backup is None:
        raise ProblemError(404, f"Target {caller.target.name} has no backup {backup_id}.")
    return backup


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")

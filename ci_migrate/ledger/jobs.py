"""Jobs: what was started over HTTP. They stand in the ledger, so that a service that was killed finds them again."""

import secrets
import time
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import insert, select, update

from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.tables import clock, jobs, printable
from ci_migrate.model import Frozen, canonical_json

ANSWER_LIMIT = 60_000
"""Bytes: MySQL's TEXT ends at 64 KiB."""


MESSAGE_LIMIT = 1000
"""Characters of a stage's message: there are seven stages, and MySQL's limit is the same."""


class JobStatus(StrEnum):
    """`interrupted`: the process that did it died; its message says what became of the target."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class Job(Frozen, frozen=True, kw_only=True):
    """One piece of work. `answer` is the body of the answer, {} as long as it runs; `stages` those that have ended."""

    job_id: str
    target: str
    action: str
    actor: str
    started: datetime
    finished: datetime | None = None
    status: JobStatus = JobStatus.RUNNING
    exit_code: int | None = None
    answer: dict[str, Any] = msgspec.field(default_factory=dict)
    stages: tuple[dict[str, Any], ...] = ()


def begin(ledger: Ledger, *, target: str, action: str, actor: str, address: str) -> Job:
    """Write that a job starts, into the audit trail too: what is not written down is not started."""
    job_id = f"job_{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_{secrets.token_hex(6)}"
    with ledger.writing() as connection:
        job = Job(job_id=job_id, target=target, action=action, actor=actor, started=clock(connection))
        fields = {field: getattr(job, field) for field in Job.__struct_fields__}
        facts = {"jobId": job_id, "action": action, "actor": actor, "address": address}
        fields["sequence"] = audit.append(connection, "job started", None, facts)
        connection.execute(
            insert(jobs).values({**fields, "status": job.status.value, "answer": "{}", "stages": "[]"})
        )
    return job


def progress(ledger: Ledger, job_id: str, stages: Sequence[dict[str, Any]]) -> None:
    """Write which stages of a job have ended; of long messages their beginning."""
    short = [{**stage, "message": str(stage.get("message", ""))[:MESSAGE_LIMIT]} for stage in stages]
    text = canonical_json(printable(msgspec.to_builtins(short))).decode()
    running = (jobs.c.job_id == job_id, jobs.c.status == JobStatus.RUNNING.value)
    with ledger.writing() as connection:
        connection.execute(update(jobs).where(*running).values(stages=text))


def end(ledger: Ledger, job_id: str, status: JobStatus, exit_code: int, answer: dict[str, Any]) -> bool:
    """Write how a job ended; False where that was written already.

    An answer that is too long keeps its texts: lists and objects in it are left out.
    """
    text = canonical_json(printable(msgspec.to_builtins(answer)))
    if len(text) > ANSWER_LIMIT:
        short = {k: v for k, v in answer.items() if not isinstance(v, list | dict)}
        most = min(4000, ANSWER_LIMIT // (7 * len(short) or 1))  # a control character is six bytes of JSON
        text = canonical_json(printable({k: v[:most] if isinstance(v, str) else v for k, v in short.items()}))
    with ledger.writing() as connection:
        fields = {
            "finished": clock(connection),
            "status": status.value,
            "exit_code": int(exit_code),
            "answer": text.decode(),
        }
        running = (jobs.c.job_id == job_id, jobs.c.status == JobStatus.RUNNING.value)
        # the process that did it and the service that takes it for dead may both say so: the first one counts
        if connection.execute(update(jobs).where(*running).values(fields)).rowcount != 1:
            return False
        facts = {"jobId": job_id, "status": status.value, "exitCode": int(exit_code)}
        audit.append(connection, "job ended", None, facts)
    return True


def get(ledger: Ledger, job_id: str, target: str) -> Job | None:
    """The job with this id, if it is one of this target's."""
    found = select(jobs).where(jobs.c.job_id == job_id, jobs.c.target == target)
    with ledger.reading() as connection:
        row = connection.execute(found).one_or_none()
        return None if row is None else _job(row)


def running(ledger: Ledger, target: str) -> tuple[Job, ...]:
    """The jobs of a target of which nobody wrote that they ended, the oldest first."""
    found = select(jobs).where(jobs.c.target == target, jobs.c.status == JobStatus.RUNNING.value)
    with ledger.reading() as connection:
        return tuple(_job(row) for row in connection.execute(found.order_by(jobs.c.sequence)))


def latest(ledger: Ledger, target: str, limit: int = 20) -> tuple[Job, ...]:
    """The last jobs of a target, newest first."""
    found = select(jobs).where(jobs.c.target == target).order_by(jobs.c.sequence.desc()).limit(limit)
    with ledger.reading() as connection:
        return tuple(_job(row) for row in connection.execute(found))


def _job(row: Any) -> Job:
    fields = {field: getattr(row, field) for field in Job.__struct_fields__}
    texts = {
        "status": JobStatus(row.status),
        "answer": msgspec.json.decode(row.answer),
        "stages": msgspec.json.decode(row.stages, type=tuple[dict[str, Any], ...]),
    }
    return Job(**{**fields, **texts})

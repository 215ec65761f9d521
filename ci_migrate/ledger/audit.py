"""The audit trail: a chain in which each record carries the hash of the one before it.

The hash covers what a record says and its predecessor's hash, not its number: so an altered record, a missing
one and one in the wrong place can be told apart. A second table holds how many there are and the last hash,
which shows records cut off at the end. Whoever rewrites all of it, both tables, is not found out from inside:
an export kept elsewhere is for that.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from ci_migrate.ledger.tables import audit, audit_head, clock, printable, utc_text
from ci_migrate.model import Frozen, canonical_json, sha256_hex
from ci_migrate.settings.secrets import hide_secrets_in

REQUESTED = "approval requested"
"""The kind of a record that says who asked for an approval of which plan."""

REASON = "reason given"
"""The kind of a record that says why a run was asked for."""

STAGE = "stage"
"""The kind of a record that says what a stage came to; of a dry run with the sha256 of its evidence."""

NOTES = "notes pinned"
"""The kind of a record that says where the use of tokens is noted, besides the ledger."""

_LOOKED_AT = 500
"""Requests and answers among which what is still open is looked for: who asked longer ago asks again."""

START = "0" * 64
"""What stands for the record before the first."""


class AuditRecord(Frozen, frozen=True, kw_only=True):
    """One record of the trail, as it stands in the ledger."""

    sequence: int
    at: str
    kind: str
    run_id: str | None
    facts: dict[str, Any]
    previous: str
    sha256: str


def append(connection: Connection, kind: str, run_id: str | None, facts: dict[str, Any]) -> int:
    """Add a record within the caller's transaction: what it tells of is committed with it, or neither is.

    Returns its sequence, which grows from record to record whatever clocks do.
    """
    return append_all(connection, kind, run_id, [facts])


def append_all(connection: Connection, kind: str, run_id: str | None, many: Sequence[dict[str, Any]]) -> int:
    """As `append`, for several records of one kind and one time, in this order. There is at least one."""
    # The row lock (SQLite: BEGIN IMMEDIATE) makes writers take turns, so the chain can't fork.
    head = connection.execute(select(audit_head).with_for_update()).one()
    at = utc_text(clock(connection))
    rows, digest = [], head.sha256
    for sequence, facts in enumerate(many, head.records + 1):
        text = canonical_json(printable(hide_secrets_in(msgspec.to_builtins(facts)))).decode()
        previous, digest = digest, _digest(digest, at, kind, run_id, text)
        rows.append(
            {
                "sequence": sequence,
                "at": at,
                "kind": kind,
                "run_id": run_id,
                "facts": text,
                "previous": previous,
                "sha256": digest,
            }
        )
    connection.execute(insert(audit), rows)
    connection.execute(update(audit_head).values(records=head.records + len(rows), sha256=digest))
    return int(head.records) + len(rows)


def requesters(connection: Connection, plan_digest: str) -> frozenset[str]:
    """Who asked for an approval of a plan, as runs and requests wrote it down."""
    # in a text of somebody's JSON escapes the quotes, so that none can pass for this member
    named = audit.c.facts.contains(f'"planDigest":"{plan_digest}"', autoescape=True)
    rows = connection.execute(select(audit.c.facts).where(audit.c.kind == REQUESTED, named)).scalars()
    return frozenset(str(msgspec.json.decode(facts).get("by", "")) for facts in rows)


def open_requests(connection: Connection, limit: int) -> tuple[dict[str, Any], ...]:
    """The facts of the last requests that name a command, each plan once; without those that were answered since."""
    # reserved: of a signed token that is the first that the ledger hears
    kinds = (REQUESTED, "approval denied", "token generated", "token reserved")
    last = select(audit.c.kind, audit.c.facts).where(audit.c.kind.in_(kinds))
    answered: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    for row in connection.execute(last.order_by(audit.c.sequence.desc()).limit(_LOOKED_AT)):
        facts = msgspec.json.decode(row.facts)
        digest = str(
            facts.get("planDigest") or facts.get("denied") or facts.get("approval", {}).get("planDigest")
        )
        if row.kind != REQUESTED:
            answered.add(digest)
        elif facts.get("command") and digest not in answered and len(found) < limit:
            found.setdefault(digest, facts)
    return tuple(found.values())


def reasons(connection: Connection, run_ids: Sequence[str]) -> dict[str, str]:
    """Why runs were asked for, by their ids; those without a reason are left out."""
    rows = connection.execute(
        select(audit.c.run_id, audit.c.facts).where(audit.c.kind == REASON, audit.c.run_id.in_(run_ids))
    )
    found = {row.run_id: str(msgspec.json.decode(row.facts).get("reason") or "") for row in rows}
    return {run_id: reason for run_id, reason in found.items() if reason}


def notes_place(connection: Connection) -> str | None:
    """The place that was pinned last for notes of used tokens."""
    newest = select(audit.c.facts).where(audit.c.kind == NOTES).order_by(audit.c.sequence.desc()).limit(1)
    facts = connection.execute(newest).scalar_one_or_none()
    return None if facts is None else str(msgspec.json.decode(facts)["place"])


def records(connection: Connection, limit: int) -> tuple[AuditRecord, ...]:
    """The last `limit` records, oldest first."""
    rows = connection.execute(select(audit).order_by(audit.c.sequence.desc()).limit(limit)).all()
    return tuple(
        AuditRecord(**{**row._asdict(), "facts": msgspec.json.decode(row.facts)}) for row in reversed(rows)
    )


def facts_at(connection: Connection, sequence: int) -> dict[str, Any]:
    """The facts of the record with this number; {} where there is none."""
    facts = connection.execute(select(audit.c.facts).where(audit.c.sequence == sequence)).scalar_one_or_none()
    return {} if facts is None else dict(msgspec.json.decode(facts))


def facts_of(connection: Connection, kind: str) -> list[dict[str, Any]]:
    """The facts of all records of a kind, the oldest first."""
    found = select(audit.c.facts).where(audit.c.kind == kind).order_by(audit.c.sequence)
    return [msgspec.json.decode(text) for text in connection.execute(found).scalars()]


def verify(connection: Connection) -> list[str]:
    """What is wrong with the trail, in words; [] where nothing is. Reads it all, as of one moment."""
    rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    head = connection.execute(select(audit_head)).one_or_none()
    numbers = {row.sha256: row.sequence for row in rows}
    found = []
    previous, last = START, 0
    for row in rows:
        if row.sha256 != _digest(row.previous, row.at, row.kind, row.run_id, row.facts):
            found.append(f"record {row.sequence} was altered")
        if row.previous != previous:
            found.append(_broken_link(row, last, numbers))
        elif row.sequence != last + 1:
            found.append(f"record {row.sequence} was given another number: {last + 1} is missing")
        previous, last = row.sha256, row.sequence
    return found + _against_head(rows, head)


def _broken_link(row: Any, last: int, numbers: dict[str, int]) -> str:
    if row.previous in numbers:
        return f"record {row.sequence} is out of order: it was written after record {numbers[row.previous]}"
    if row.previous == START:
        return f"record {row.sequence} is out of order: it was written as the first"
    if row.sequence > last + 1:
        missing = f"{last + 1}" if row.sequence == last + 2 else f"{last + 1} to {row.sequence - 1}"
        return f"missing before record {row.sequence}: {missing}"
    before = f"record {last}" if last else "nothing"
    return f"record {row.sequence} does not follow {before}: what it followed was altered or is missing"


def _against_head(rows: Sequence[Any], head: Any) -> list[str]:
    if head is None:
        return ["the count of records is missing"]
    if len(rows) < head.records:
        return [f"{head.records - len(rows)} missing: {head.records} were written, {len(rows)} are there"]
    if len(rows) > head.records:
        return [f"{len(rows) - head.records} too many: {head.records} were written, {len(rows)} are there"]
    if (rows[-1].sha256 if rows else START) != head.sha256:
        return ["the last record is not the one that was written last"]
    return []


def _digest(previous: str, at: str, kind: str, run_id: str | None, facts: str) -> str:
    return sha256_hex(canonical_json([previous, at, kind, run_id, facts]))

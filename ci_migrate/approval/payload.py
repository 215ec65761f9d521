"""What an approver signs: one plan on one database, in fields that can be told apart when one does not fit."""

import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import msgspec

from ci_migrate.errors import NotApprovedError
from ci_migrate.model import (
    Approvable,
    BackfillRun,
    Finding,
    Frozen,
    Identity,
    NamedRehearsal,
    Plan,
    Purpose,
    Removal,
    Restoration,
    RunRepair,
    TableEvidence,
    canonical_json,
    sha256_hex,
)

T = TypeVar("T")

FORMAT = 1

WAYS_BACK = ("undo", "downgrade", "restore")
"""What an approval to go forward may name besides: how the same run may lead back."""

BEFORE_WRITING = ("check", "backup", "dry-run")
"""The stages that ask for an approval by themselves where they are tagged; one that names a stage is for it alone."""

STAGE_OF = {
    Purpose.UPGRADE: "migrate",
    Purpose.DOWNGRADE: "rollback",
    Purpose.STAMP: "stamp",
    Purpose.RESTORE: "restore",
    Purpose.PROTECTION: "protection",
    Purpose.REMOVAL: "removal",
    Purpose.REPAIR: "repair",
    Purpose.BACKFILL: "backfill",
}
"""What each direction is called among a payload's stages."""


def stage_of(plan: Approvable) -> str:
    """What a payload's stages call the doing of this."""
    return STAGE_OF[Purpose(plan.purpose)]


_NONCE = re.compile(r"[0-9a-f]{32}", re.ASCII)


class ApprovalPayload(Frozen, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The signed part of a token. Times are UTC; `requester` is who asked for the approval.

    `files_digest` is over the list of revision files and env.py, so that any number of them fits; `stages` are what
    may be done: "migrate", and the rollback paths that it includes. `nonce` makes each token one of its own.
    `inputs_digest` is over all files, distributions and settings that the request names; a payload by 0.1.0 has none,
    and fits no run that has inputs. `rows` is what `list_changes` gave; a payload without fits no run with a dry run.
    `rehearsal` is the dry run that was looked at; a run may only use its evidence again where it is named.
    """

    format: int = FORMAT
    target: str
    target_uuid: str
    identity: Identity
    plan_digest: str
    direction: Purpose
    from_heads: tuple[str, ...]
    destination: str
    files_digest: str
    commit: str | None = None
    evidence_digest: str | None = None
    inputs_digest: str | msgspec.UnsetType = msgspec.UNSET
    rows: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    rehearsal: NamedRehearsal | msgspec.UnsetType = msgspec.UNSET
    stages: tuple[str, ...]
    requester: str
    reason: str
    issued: datetime
    not_before: datetime
    expires: datetime
    nonce: str
    tool_version: str

    def encode(self) -> bytes:
        """The bytes that are signed."""
        return canonical_json(self)


class Facts(Frozen, frozen=True, kw_only=True):
    """What is true here and now, to hold a payload against. None: it can't be told (yet), and is not compared."""

    plan: Approvable
    target_uuid: str
    stage: str | None = None  # what is about to be done, if it is not the plan's direction
    commit: str | None = None  # an approval that names one is for this one alone, so None fits none then
    evidence_digest: str | None = None
    rows: dict[str, int] | None = None
    inputs_digest: str | None = None


class Measured(Frozen, frozen=True, kw_only=True):
    """What a dry run gave, as an approval binds it: see `evidence_digest` and `count_changes`."""

    digest: str
    rows: dict[str, int]


def new_nonce() -> str:
    """128 bits of chance, as 32 hex digits."""
    return secrets.token_hex(16)


def decode_payload(data: bytes) -> ApprovalPayload:
    """The payload of a token whose signatures were verified. Raises NotApprovedError, as `decode_signed`."""
    payload = decode_signed(data, ApprovalPayload)
    if not payload.requester.strip():
        raise NotApprovedError("The token gives no reason, or does not say who asked for it.")
    return payload


def decode_signed(data: bytes, kind: type[T]) -> T:
    """A payload of this kind, which has the fields that each kind has: those that are looked at here.

    Raises:
        NotApprovedError: it says something that this version does not understand, or says it twice.
    """
    try:
        payload: Any = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise NotApprovedError(
            "The token's payload can't be read by this version of ci-migrate.",
            hint="Approve with the version that runs: the request names it.",
        ) from error
    # decoding leaves out fields that it does not know: what was signed must be all that is acted upon
    if payload.format != FORMAT or payload.encode() != data:
        raise NotApprovedError("The token's payload is not in the one form that it can have.")
    for name in ("issued", "not_before", "expires"):
        if getattr(payload, name).tzinfo is None:
            raise NotApprovedError(f"The token's field {name} has no time zone.")
    if not payload.reason.strip():
        raise NotApprovedError("The token gives no reason, or does not say who asked for it.")
    if not _NONCE.fullmatch(payload.nonce):
        raise NotApprovedError("The token's nonce is none.")
    return cast("T", payload)


def files_digest(plan: Approvable) -> str:
    """What a payload has as `files_digest`.

    sha256 over the list of a plan's revision files and env.py, in the order in which they run; of a restore that of
    the manifest, of a removal over the list of manifests, of a repair over what it does, of a backfill over
    its statement.
    """
    if isinstance(plan, Restoration):
        return plan.manifest_sha256
    if isinstance(plan, Removal):
        return sha256_hex(canonical_json(plan.manifests))
    if isinstance(plan, RunRepair):
        return sha256_hex(canonical_json(plan.does))
    if isinstance(plan, BackfillRun):
        return sha256_hex(plan.statement.encode())
    revisions, env_sha256 = (plan.revisions, plan.env_sha256) if isinstance(plan, Plan) else ((), "")
    files = [(revision.id, revision.file, revision.sha256) for revision in revisions]
    return sha256_hex(canonical_json((files, env_sha256)))


TIMED = frozenset({"CM301", "CM302", "CM304"})
"""Findings that are there or weigh more by seconds that were measured: a repeated dry run may have others. What refuses
among them does so again by itself."""


def evidence_digest(
    plan_digest: str,
    before_digest: str,
    stream_digest: str,
    findings: Iterable[Finding],
    *,
    without_rows: bool = False,
) -> str:
    """What a repeated dry run must give again; never times or counts.

    Args:
        plan_digest: the plan's.
        before_digest: of the schema's fingerprint before the dry run (F_0).
        stream_digest: of the statements that ran.
        findings: of all checks, acknowledged ones included; their messages, which hold counts, don't matter.
        without_rows: the copy had none; whoever approves a dry run with rows approves no other.
    """
    found = sorted(
        {
            (f.code, f.severity.value, f.revision or "", f.acknowledged or "")
            for f in findings
            if f.code not in TIMED
        }
    )
    members = (plan_digest, before_digest, stream_digest, found)
    # of a dry run with rows as it always was: tokens and requests of earlier versions fit
    return sha256_hex(canonical_json((*members, "without rows") if without_rows else members))


ROWS_LISTED = 40
"""Tables whose rows a payload names; those beyond, where the fewest rows change, are added up."""

OTHER_TABLES = ""
"""What they are called."""

ROWS_SHARE, ROWS_FLOOR = 0.1, 10
ROWS_TOLERANCE = (
    f"By how many rows a table grows or shrinks may differ by a tenth, or by {ROWS_FLOOR} rows; a table that is not "
    "named may do neither."
)
"""The data may grow between the approval and the run."""


def count_changes(tables: Mapping[str, TableEvidence]) -> dict[str, int]:
    """By how many rows each table grew (or, below 0, shrank) in a dry run; those that did neither left out."""
    changes = {
        name: (t.after.rows if t.after else 0) - (t.before.rows if t.before else 0)
        for name, t in tables.items()
    }
    return {name: count for name, count in changes.items() if count}


def list_changes(rows: Mapping[str, int]) -> dict[str, int]:
    """What a payload binds of such changes: the largest by name, those beyond `ROWS_LISTED` added up."""
    changed = {name: count for name, count in rows.items() if count}
    ranked = sorted(changed, key=lambda name: (-abs(changed[name]), name))
    found = {name: changed[name] for name in ranked[:ROWS_LISTED]}
    rest = sum(changed[name] for name in ranked[ROWS_LISTED:])
    return {**found, OTHER_TABLES: rest} if len(ranked) > ROWS_LISTED else found


def rows_diff(approved: Mapping[str, int], now: Mapping[str, int]) -> list[str]:
    """Where more rows come or go than was approved, beyond the tolerance, in words.

    Args:
        approved: as `list_changes` gave it.
        now: the change of every table, none added up: which ones were the largest may differ by then.
    """
    named = {name: count for name, count in approved.items() if name != OTHER_TABLES}
    compared = {name: (count, now.get(name, 0)) for name, count in named.items()}
    others = {name: count for name, count in now.items() if name not in named}
    if OTHER_TABLES in approved:
        compared["other tables"] = (approved[OTHER_TABLES], sum(others.values()))
        # each of them changed by no more than those that were named: a loss can't hide behind another one's gain
        most = min(map(abs, named.values()), default=0)
        others = {name: count for name, count in others.items() if abs(count) > most + rows_tolerance(most)}
    compared |= {name: (0, count) for name, count in others.items()}
    return [
        f"rows of {name}: approved was a change by {was:+,}, here it is {is_:+,}"
        for name, (was, is_) in compared.items()
        if abs(is_ - was) > (rows_tolerance(was) if was else 0)
    ]


def rows_tolerance(was: int) -> float:
    """By how many rows a number may differ from one that was approved."""
    return max(ROWS_FLOOR, ROWS_SHARE * abs(was))


def payload_diff(payload: ApprovalPayload, facts: Facts) -> list[str]:
    """The fields of a payload that do not fit, each by its name, in words; [] where all do."""
    plan = facts.plan
    compared: list[tuple[str, object, object]] = [
        ("target", payload.target, plan.target),
        ("target's UUID", payload.target_uuid, facts.target_uuid),
        ("database", payload.identity.place, plan.identity.place),
        ("database's identity", payload.identity, plan.identity),
        ("direction", payload.direction.value, str(plan.purpose)),
        ("heads before", " + ".join(payload.from_heads), " + ".join(plan.from_heads)),
        ("destination", payload.destination, plan.destination),
        (_files_of(plan), payload.files_digest, files_digest(plan)),
        ("plan", payload.plan_digest, plan.digest),
    ]
    if payload.commit is not None:
        compared.append(("commit", payload.commit, facts.commit))
    if facts.evidence_digest is not None:
        compared.append(("evidence", payload.evidence_digest, facts.evidence_digest))
    if facts.inputs_digest:
        compared.append(("inputs", payload.inputs_digest or None, facts.inputs_digest))
    found = [_describe(name, approved, now) for name, approved, now in compared if approved != now]
    if facts.rows is not None:
        bound = payload.rows if isinstance(payload.rows, dict) else {}
        found += rows_diff(bound, facts.rows)
    stage = facts.stage or stage_of(plan)
    if stage not in payload.stages:
        found.append(_describe("stages", ", ".join(payload.stages), stage))
    return found


def _files_of(plan: Approvable) -> str:
    """What `files_digest` is the digest of, in words."""
    if isinstance(plan, Restoration):
        return "manifest"
    if isinstance(plan, Removal):
        return f"manifests of {', '.join(plan.names[:5])}"
    if isinstance(plan, RunRepair):
        return f"what the repair does ({'; '.join(plan.does) or 'no repair fits'})"
    if isinstance(plan, BackfillRun):
        return "statement"
    return "revision files"


def _describe(name: str, approved: object, now: object) -> str:
    if isinstance(approved, Identity) or isinstance(now, Identity):
        return f"{name}: not the one that was approved"
    was, is_ = _text(approved), _text(now)
    same = next(
        (n for n, (a, b) in enumerate(zip(was, is_, strict=False)) if a != b), min(len(was), len(is_))
    )
    start = max(0, same - SHOWN // 4) if max(len(was), len(is_)) > SHOWN else 0
    return f"{name}: approved was {_shorten(was, start)}, here it is {_shorten(is_, start)}"


SHOWN = 200
"""Characters of a value in a message; of longer ones those around where they begin to differ."""


def _text(value: object) -> str:
    return "none" if value is None else str(value) or "base"


def _shorten(text: str, start: int) -> str:
    if len(text) >= 40 and all(c in "0123456789abcdef" for c in text):
        return text[:12]
    end = start + SHOWN
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def lifetime_refusal(payload: ApprovalPayload, now: datetime, longest: timedelta) -> str:
    """Why a token can't be used at a time of the database's clock; "" where it can."""
    if payload.not_before > now:
        return f"The token is not valid before {_time(payload.not_before)}; the clock says {_time(now)}."
    if payload.issued > now:
        return f"The token was made in the future, at {_time(payload.issued)}; the clock says {_time(now)}."
    if payload.expires - payload.issued > longest or payload.expires <= payload.not_before:
        return f"The token is valid for {payload.expires - payload.issued}; allowed is {longest}."
    if now >= payload.expires:
        return f"The token expired at {_time(payload.expires)}; the clock says {_time(now)}."
    return ""


CLOCKS_DIFFER = timedelta(minutes=2)
"""By how much the clocks of machines that share a ledger may differ."""


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

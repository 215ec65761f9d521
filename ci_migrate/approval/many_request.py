"""The request for one approval of many databases: one of them in full, and of each other what differs.

What is signed for each is worked out from the full one: so all of them have its plan, its schema, its statements, its
inputs and its findings, by code, severity, revision and reason. Counts in a finding's text are the full one's alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from ci_migrate import __version__
from ci_migrate.approval import merkle
from ci_migrate.approval.description import describe_request
from ci_migrate.approval.envelope import Envelope, Member
from ci_migrate.approval.many import MANY_TYPE, ApprovedDatabase, ManyPayload, decode_many
from ci_migrate.approval.payload import evidence_digest, files_digest, new_nonce
from ci_migrate.approval.request import (
    ApprovalRequest,
    changes_of,
    check_request,
    digest_of_evidence,
    read_bytes,
    refuse_no_reason,
)
from ci_migrate.approval.verification import plain
from ci_migrate.errors import NotApprovedError, UsageError
from ci_migrate.model import (
    Frozen,
    Identity,
    NamedRehearsal,
    Plan,
    Purpose,
    canonical_json,
    decode_approvable,
    plural,
)
from ci_migrate.settings.fleet import split

_SHOWN = 20


class ListedDatabase(Frozen, frozen=True, kw_only=True):
    """What is its own, and not that of the request that stands for all."""

    target: str
    target_uuid: str
    identity: Identity
    rows: dict[str, int]
    rehearsal: NamedRehearsal | None
    requester: str


class ManyRequest(Frozen, frozen=True, kw_only=True):
    """What a fleet run that lacks approvals asks for. `left_out` says of databases why they are not in it.

    `x` is the setting of the fleet, in which each has its own name.
    """

    format: int = 1
    fleet: str
    fleet_run: str
    x: str
    request: ApprovalRequest
    databases: tuple[ListedDatabase, ...]
    left_out: dict[str, str]

    def entries(self) -> list[bytes]:
        """The list as it is signed."""
        return [canonical_json(self.entry(one)) for one in self.databases]

    def entry(self, one: ListedDatabase) -> ApprovedDatabase:
        """What is signed for a database: the request that stands for all, of this target."""
        request = self.request
        assert isinstance(request.plan, Plan)
        inputs = request.plan.inputs
        own = {"x": self.x.replace("{name}", split(one.target)[1])} if self.x else {}
        inputs = msgspec.structs.replace(inputs, settings=inputs.settings | own)
        plan = msgspec.structs.replace(request.plan, target=one.target, identity=one.identity, inputs=inputs)
        asked = msgspec.structs.replace(
            request,
            target=one.target,
            target_uuid=one.target_uuid,
            plan=plan,
            plan_digest=plan.digest,
            evidence_digest=digest_of_evidence(plan, request.evidence, request.findings),
            rehearsal=one.rehearsal,
            requester=one.requester,
        )
        return _entry_of(asked, one.rows)


def is_of_many(data: bytes) -> bool:
    """Whether a request file is one for many databases."""
    try:
        return "databases" in msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return False


def read_many(path: Path) -> ManyRequest:
    """The request in a file. Raises UsageError: it can't be read, or is none."""
    return decode_many_request(read_bytes(path), path)


def decode_many_request(data: bytes, path: Path) -> ManyRequest:
    """The request that a file holds, if it can be signed. Raises UsageError."""
    try:
        found = msgspec.json.decode(data, type=ManyRequest, dec_hook=decode_approvable)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path} is no request for the databases of a fleet.", hint="ci-migrate fleet request writes one."
        ) from error
    check_request(found.request, path)
    one = found.request
    if not _can_stand_for_others(one) or _entry_of(one, changes_of(one)) not in map(
        found.entry, found.databases
    ):
        raise UsageError(
            f"{path}: what stands for all of its databases is none of them, or was not rehearsed.",
            hint="Somebody edited it, or another version of ci-migrate wrote it. Write another one.",
        )
    for what in ("target", "target_uuid"):
        if len({getattr(one, what) for one in found.databases}) < len(found.databases):
            raise UsageError(f"{path} lists a database twice.", hint="Write another one.")
    if not all(
        split(one.target)[0] == found.fleet and one.target_uuid and one.requester for one in found.databases
    ):
        raise UsageError(
            f"{path} can't be signed: a database is not of the fleet {found.fleet}, or it is not said which ledger it "
            "has, or who asks.",
            hint="Write another one.",
        )
    return found


def collect(fleet: str, fleet_run: str, x: str, requests: Mapping[str, ApprovalRequest]) -> ManyRequest:
    """One request for those that ask for the same, by name; of several groups for the largest.

    Raises:
        UsageError: none of them asks for the approval of a migration.
    """
    fit = {name: one for name, one in requests.items() if _can_stand_for_others(one)}
    groups: dict[bytes, list[str]] = {}
    for name, one in fit.items():
        groups.setdefault(canonical_json(_facts(one)), []).append(name)
    if not groups:
        raise UsageError(
            f"No database of {fleet_run} waits for the approval of a migration that was rehearsed.",
            hint=f"ci-migrate fleet status --run {fleet_run} --target {fleet}",
        )
    largest = max(groups.values(), key=len)
    first = fit[largest[0]]
    empty = ManyRequest(fleet=fleet, fleet_run=fleet_run, x=x, request=first, databases=(), left_out={})
    same = frozenset(largest)
    left_out = {name: "it asks for no migration that was rehearsed" for name in requests if name not in fit}
    listed: dict[str, ListedDatabase] = {}  # by ledger
    for name, one in fit.items():
        own = _listed(one)
        if name not in same or empty.entry(own) != _entry_of(one, own.rows):
            left_out[name] = _difference(first, one)
        elif one.target_uuid in listed:
            left_out[name] = f"its ledger is a copy of that of {listed[one.target_uuid].target}"
        else:
            listed[one.target_uuid] = own
    return msgspec.structs.replace(empty, databases=tuple(listed.values()), left_out=left_out)


def many_payload_of(
    request: ManyRequest, *, reason: str, stages: Sequence[str], minutes: int, moment: datetime
) -> ManyPayload:
    """What an approver signs; the arguments as those of `request.payload_of`. Raises UsageError: there is no reason."""
    refuse_no_reason(reason)
    plan, issued = request.request.plan, moment - timedelta(minutes=1)
    return ManyPayload(
        fleet=request.fleet,
        databases=len(request.databases),
        list_digest=merkle.list_digest(request.entries()),
        direction=Purpose(plan.purpose),
        from_heads=plan.from_heads,
        destination=plan.destination,
        files_digest=files_digest(plan),
        commit=request.request.commit,
        stages=tuple(stages),
        reason=reason.strip(),
        issued=issued,
        not_before=issued,
        expires=moment + timedelta(minutes=minutes),
        nonce=new_nonce(),
        tool_version=__version__,
    )


def tokens_for(token: str, request: ManyRequest) -> dict[str, str]:
    """For each database of the list, by target, the token that its own run takes.

    Raises:
        NotApprovedError: the token is malformed, not a fleet's, or was made for another list.
    """
    envelope = Envelope.decode(token)
    if envelope.payload_type != MANY_TYPE or envelope.member is not None:
        raise NotApprovedError(
            "The token is for one database, and this is a fleet.",
            hint="ci-migrate run --target FLEET/NAME takes it; ci-migrate fleet request asks for one for many.",
        )
    entries = refuse_other_list(envelope, request)
    found = {}
    for number, (entry, proof) in enumerate(zip(entries, merkle.proofs(entries), strict=True)):
        member = Member(entry=entry, number=number, proof=proof)
        found[request.databases[number].target] = msgspec.structs.replace(envelope, member=member).encode()
    return found


def refuse_other_list(envelope: Envelope, request: ManyRequest) -> list[bytes]:
    """The list of a request. Raises NotApprovedError unless a fleet's token was made for it."""
    many, entries = decode_many(envelope.payload), request.entries()
    if (many.list_digest, many.databases) != (merkle.list_digest(entries), len(entries)):
        raise NotApprovedError(
            f"The token was made for another list of databases than that of {request.fleet_run}, or the list was "
            "altered since.",
            hint="Give the request that was approved: --request FILE.",
        )
    return entries


def describe_many(request: ManyRequest) -> list[str]:
    """What is about to be approved: the one that stands for all, and the list. Lines without control characters."""
    count = len(request.databases)
    names = [one.target for one in request.databases]
    asking = sorted({one.requester for one in request.databases})
    lines = [
        f"{plural(count, 'database')} of the fleet {request.fleet}, asked for by {', '.join(asking[:_SHOWN])}.",
        "Each has the heads, schema, plan, statements, inputs and findings of this one; counts in findings may differ:",
        *describe_request(request.request),
        f"  the list (sha256 {merkle.list_digest(request.entries())}):",
        *(f"    {one.target}  {one.identity.place}" for one in request.databases[:_SHOWN]),
    ]
    if count > _SHOWN:
        lines.append(
            f"    and {count - _SHOWN:,} more, {names[_SHOWN]} to {names[-1]}: `databases` in the request"
        )
    ranges = _ranges(request)
    lines += [
        f"  rows of {table or 'other tables'} in each of them: from {least:+,} to {most:+,}"
        for table, least, most in ranges[:_SHOWN]
    ]
    lines += [f"  and of {len(ranges) - _SHOWN} more tables fewer"] if len(ranges) > _SHOWN else []
    until = [one.rehearsal.until for one in request.databases if one.rehearsal and one.rehearsal.until]
    if until:
        first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (min(until), max(until)))
        runs = plural(len(until), "approved run")
        lines.append(f"  {runs} may use dry run and backup again, until {first} to {last} UTC")
    if request.x:
        lines.append(f"  x in each of them: {request.x}")
    if request.left_out:
        lines.append(f"  not in the list: {plural(len(request.left_out), 'database')}")
        lines += [f"    {name}: {why}" for name, why in list(request.left_out.items())[:_SHOWN]]
    return list(map(plain, lines))


def _ranges(request: ManyRequest) -> list[tuple[str, int, int]]:
    """By how many rows each table grows or shrinks, from the least to the most; where most rows change first."""
    tables = sorted({table for one in request.databases for table in one.rows})
    counts = [(table, [one.rows.get(table, 0) for one in request.databases]) for table in tables]
    found = [(table, min(of_each), max(of_each)) for table, of_each in counts]
    return sorted(found, key=lambda one: -max(abs(one[1]), abs(one[2])))


# --------------------------------------------------------------------------- one of them


def _can_stand_for_others(request: ApprovalRequest) -> bool:
    plan = request.plan
    return isinstance(plan, Plan) and request.stages == ("migrate",) and request.evidence is not None


def _listed(request: ApprovalRequest) -> ListedDatabase:
    return ListedDatabase(
        target=request.target,
        target_uuid=request.target_uuid,
        identity=request.plan.identity,
        rows=changes_of(request),
        rehearsal=request.rehearsal,
        requester=request.requester,
    )


def _entry_of(request: ApprovalRequest, rows: dict[str, int]) -> ApprovedDatabase:
    """What an approval of this request alone would say of its database."""
    return ApprovedDatabase(
        target=request.target,
        target_uuid=request.target_uuid,
        identity=request.plan.identity,
        plan_digest=request.plan_digest,
        evidence_digest=request.evidence_digest or "",
        inputs_digest=request.inputs.digest,
        rows=rows,
        rehearsal=request.rehearsal,
        requester=request.requester,
    )


def _facts(request: ApprovalRequest) -> list[tuple[str, str]]:
    """What databases that are approved together have in common, by its name."""
    plan, evidence = request.plan, request.evidence
    assert isinstance(plan, Plan)
    assert evidence is not None
    nowhere = Identity(dialect=plan.identity.dialect, place="", facts={})
    inputs = msgspec.structs.replace(request.inputs, settings={})
    bare = msgspec.structs.replace(plan, target="", identity=nowhere, inputs=inputs)
    return [
        ("heads", " + ".join(plan.from_heads)),
        ("schema", evidence.before_digest),
        ("files and inputs", inputs.digest),
        ("rows in the copy", "none" if evidence.without_rows else ""),
        ("statements", evidence.stream_digest),
        ("changes of the schema", "\n".join(evidence.changes)),
        ("proof of backup and rollback path", f"{evidence.proven} {evidence.way_back_proven}"),
        ("plan", bare.digest),
        ("findings", evidence_digest("", "", "", request.findings)),
        ("commit", request.commit or ""),
    ]


def _difference(first: ApprovalRequest, one: ApprovalRequest) -> str:
    pairs = zip(_facts(first), _facts(one), strict=True)
    other = next((name for (name, mine), (_, own) in pairs if mine != own), "settings")
    return f"not the same {other} as {first.target}"

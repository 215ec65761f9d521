"""What a fingerprint was and what a schema is, in words; and what others did since the last run left the target."""

from collections.abc import Mapping

from ci_migrate.model import (
    Direction,
    Evidence,
    Fingerprint,
    RunRecord,
    Schema,
    TargetState,
    delta,
    sha256_hex,
    show_heads,
)
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run, bare_schema, heads_of
from ci_migrate.schema_text import describe_change, shorten

Definitions = Mapping[tuple[str, str], str]
"""From an object and the hash of its definition to the definition, as far as one is known."""


def definitions_of(evidence: Evidence | None) -> Definitions:
    """What a dry run kept: the definitions of all that it changed, before and after."""
    changes = evidence.changes if evidence is not None else ()
    return {(c.name, _hash(text)): text for c in changes for text in (c.before, c.after) if text is not None}


def _hash(definition: str) -> str:
    return sha256_hex(definition.encode())[:16]


def difference(name: str, before: Fingerprint, now: Schema, known: Definitions) -> str:
    """One object that is not as it was: as `schema_text.describe_change`, as far as it is known what it was."""
    was, is_ = before.objects.get(name), now.get(name)
    if was is None or is_ is None:
        return describe_change(name, None if was is None else "", is_)
    text = known.get((name, was))
    return f"{name} changed, is {shorten(is_)}" if text is None else describe_change(name, text, is_)


def schema_diff(before: Fingerprint, now: Schema, known: Definitions) -> list[str]:
    """Each object that is not as it was, in words, sorted by object."""
    return [difference(name, before, now, known) for name in sorted(delta(before, Fingerprint.of(now)))]


def differs_from_rehearsal(before: Fingerprint, now: Schema, evidence: Evidence) -> list[str]:
    """In words, what is not as in the dry run; [] where the deltas agree.

    Texts may differ between a database and its restored copy, so changes are compared: what changed in the one
    must have changed in the other, and what differs after must already have differed before.
    """
    known = definitions_of(evidence)
    ours = delta(before, Fingerprint.of(now))
    rehearsed = delta(evidence.before, evidence.after)
    words = [
        f"{difference(name, before, now, known)}, but not in the dry run"
        for name in sorted(ours.keys() - rehearsed.keys())
    ]
    words += [
        f"{change.words} in the dry run, but not here"
        for change in evidence.changes
        if change.name in rehearsed.keys() - ours.keys()
    ]
    # PostgreSQL reprints expressions when a dump is restored, so the same CHECK may differ between the two already
    for name in sorted(ours.keys() & rehearsed.keys()):
        same_before = before.objects.get(name) == evidence.before.objects.get(name)
        if ours[name] != rehearsed[name] and same_before:
            words.append(f"{difference(name, evidence.after, now, known)}, where `was` is the dry run")
    return words


def left_by_last_run(run: Run) -> tuple[RunRecord | None, list[str]]:
    """The last run that migrated or stamped this target, and what is not as it left it, in words."""
    if run.ledger is None:
        return None, []
    record = next(run.ledger.changes(database_of(run)), None)
    if record is None or record.plan is None or record.state != TargetState.MIGRATED.value:
        return None, []  # a part of a plan was kept, or somebody put it right by hand
    heads, left = heads_of(run.reader, record.plan), tuple(c.to_heads for c in record.plan.contexts)
    if heads != left:
        return record, [
            f"it is at {show_heads(heads)}, the last run left it at {show_heads(left)}: applied outside, or restored"
        ]
    return record, differs_from_end(run, record)


def differs_from_end(run: Run, record: RunRecord) -> list[str]:
    """In words, what is not as a run was to leave it: heads and schema."""
    if run.ledger is None or record.plan is None:
        return []
    heads, left = heads_of(run.reader, record.plan), tuple(c.to_heads for c in record.plan.contexts)
    words = [f"it is at {show_heads(heads)} instead of {show_heads(left)}"] if heads != left else []
    if record.before is None:
        return words
    now = bare_schema(run.reader, record.plan)
    if record.plan.direction is Direction.STAMP:
        return words + schema_diff(record.before, now, {})
    evidence = run.ledger.evidence(record.run_id)
    return words + (differs_from_rehearsal(record.before, now, evidence) if evidence is not None else [])

"""How far did a migration get? Told from version rows, fingerprint, the ladder of the dry run, and the journal."""

from collections.abc import Sequence

from ci_migrate.model import Delta, Diagnosis, Evidence, Fingerprint, JournalEntry, Plan, Rung, delta

Heads = tuple[tuple[str, ...], ...]


def diagnose(
    plan: Plan,
    evidence: Evidence | None,
    before: Fingerprint,
    now: Fingerprint,
    heads: Heads,
    journal: Sequence[JournalEntry],
) -> Diagnosis:
    """Find the one rung of the ladder that the target stands on.

    Args:
        plan: what was to run.
        evidence: what the dry run measured; None where there was none (then only start and end can be told).
        before: fingerprint of the target before the migration, without version tables.
        now: the same, now.
        heads: the version rows now.
        journal: what the run wrote down.
    """
    last = max((e.position for e in journal if e.kind == "statement"), default=0)
    start = tuple(c.from_heads for c in plan.contexts)
    end = tuple(c.to_heads for c in plan.contexts)
    changed = delta(before, now)
    candidates: list[int] = []
    if not changed and heads == start:
        candidates.append(0)
    if evidence is None:
        if candidates:
            return _start(last)
        return _unknown(heads, last, "there was no dry run whose steps it could be compared with")
    candidates += _matching_rungs(evidence, before, changed, heads)
    rung = _decide(candidates, evidence.rungs, journal)
    if rung is None:
        why = (
            "no state of the dry run fits"
            if not candidates
            else "several states of the dry run look like this"
        )
        return _unknown(heads, last, why)
    if rung == 0:
        return _start(last)
    found = evidence.rungs[rung - 1]
    if rung == len(evidence.rungs) and heads == end:
        return Diagnosis(
            found="finished",
            words="the migration ran to its end and was committed",
            rung=rung,
            last_statement=last,
        )
    if found.complete:
        return Diagnosis(
            found="revision committed",
            words=f"revision {found.revision} was committed, what came after it was rolled back",
            rung=rung,
            last_statement=last,
        )
    return Diagnosis(
        found="half a revision",
        words=f"revision {found.revision} was committed up to its statement {found.statements}, not to its end",
        rung=rung,
        last_statement=last,
    )


def _start(last: int) -> Diagnosis:
    if last == 0:
        return Diagnosis(found="not started", words="no statement was sent", rung=0, last_statement=0)
    return Diagnosis(
        found="rolled back", words=f"{last} statements were sent and rolled back", rung=0, last_statement=last
    )


def _unknown(heads: Heads, last: int, why: str) -> Diagnosis:
    at = ", ".join(" + ".join(h) or "base" for h in heads)
    return Diagnosis(found="unknown", words=f"the target says it is at {at}, but {why}", last_statement=last)


def _matching_rungs(evidence: Evidence, before: Fingerprint, changed: Delta, heads: Heads) -> list[int]:
    matching = []
    total: Delta = {}
    for number, rung in enumerate(evidence.rungs, start=1):
        total.update(rung.delta)
        if rung.heads == heads and same_change(changed, total, before, evidence.before):
            matching.append(number)
    return matching


def same_change(changed: Delta, rehearsed: Delta, before: Fingerprint, rehearsed_before: Fingerprint) -> bool:
    """Whether the target changed as the copy did; texts that differed before may differ after."""
    effective = {name: text for name, text in rehearsed.items() if rehearsed_before.objects.get(name) != text}
    if changed.keys() != effective.keys():
        return False
    return all(
        changed[name] == effective[name] or before.objects.get(name) != rehearsed_before.objects.get(name)
        for name in changed
    )


def _decide(candidates: list[int], rungs: Sequence[Rung], journal: Sequence[JournalEntry]) -> int | None:
    """The one candidate, or the one that the journal's last commit names; None where that can't be told."""
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    commits = [e for e in journal if e.kind in ("committing", "committed")]
    if not commits:
        return 0 if 0 in candidates else None
    if commits[-1].kind == "committing":
        return None  # the answer to the last commit was lost
    named = [c for c in candidates if c and rungs[c - 1].statements == commits[-1].position]
    return named[0] if len(named) == 1 else None

"""Two plans, and in which words they differ: why an approval, or evidence, does not fit any more."""

from collections.abc import Mapping

import msgspec

from ci_migrate.model import Approvable, BackfillRun, Inputs, Plan, Removal, Restoration, RunRepair

SHOWN = 5
"""Differences that a message names; the rest are counted."""


def plan_diff(approved: Approvable, now: Approvable) -> list[str]:
    """What differs between what was approved and what is asked for now, in words; [] if nothing that has a name."""
    found = []
    if approved.identity != now.identity:
        was, is_ = approved.identity, now.identity
        facts = sorted({key for key, _ in was.facts.items() ^ is_.facts.items()})
        found.append(f"target was {was.place}, is {is_.place}" + (f" ({', '.join(facts)})" if facts else ""))
    for name, was_text, is_text in (
        ("target", approved.target, now.target),
        ("direction", approved.purpose, now.purpose),
        ("destination", approved.destination, now.destination),
        ("from-heads", _heads(approved.from_heads), _heads(now.from_heads)),
    ):
        if was_text != is_text:
            found.append(f"{name} was {was_text}, is {is_text}")
    if isinstance(approved, Plan) and isinstance(now, Plan):
        found += _script_diff(approved, now)
    if isinstance(approved, Restoration) and isinstance(now, Restoration):
        found += _manifest_diff({"manifest": approved.manifest_sha256}, {"manifest": now.manifest_sha256})
    if isinstance(approved, Removal) and isinstance(now, Removal):
        found += _manifest_diff(_manifests(approved), _manifests(now))
    if isinstance(approved, RunRepair) and isinstance(now, RunRepair):
        found += [] if approved.plan_digest == now.plan_digest else ["what the run was to do is another plan"]
        found += [f"what it does: no more: {words}" for words in approved.does if words not in now.does]
        found += [f"what it does: not approved: {words}" for words in now.does if words not in approved.does]
    if isinstance(approved, BackfillRun) and isinstance(now, BackfillRun):
        names = ("statement", "table", "schema", "key", "remaining")
        found += [
            f"its {name} is another one" for name in names if getattr(approved, name) != getattr(now, name)
        ]
    if not found and approved != now:
        found.append("version tables, or the order in which revisions run")
    return found


def _manifests(removal: Removal) -> dict[str, str]:
    """The digests of the manifests by the backups that they are of."""
    names = (f"manifest of {name}" for name in removal.names)
    return dict(zip(names, removal.manifests, strict=False))


def _manifest_diff(approved: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} was {approved[name][:12] or 'none'}, is {now[name][:12] or 'none'}"
        for name in approved.keys() & now.keys()
        if approved[name] != now[name]
    ]


def _script_diff(approved: Plan, now: Plan) -> list[str]:
    found = [
        f"{name} was {was_text}, is {is_text}"
        for name, was_text, is_text in (
            ("to-heads", _heads(approved.to_heads), _heads(now.to_heads)),
            ("heads of the scripts", _heads(approved.script_heads), _heads(now.script_heads)),
        )
        if was_text != is_text
    ]
    found += _revision_diff(approved, now)
    if approved.env_sha256 != now.env_sha256:
        found.append("env.py was changed")
    return found + _input_diff(approved, now)


def _input_diff(approved: Plan, now: Plan) -> list[str]:
    """Inputs beside the revision files. An approval covers what its rehearsal read too, which no plan has."""
    if not approved.inputs and now.inputs:
        return ["it names no inputs, as those of ci-migrate 0.1.0"]
    named = {revision.file for plan in (approved, now) for revision in plan.revisions}
    covered = Inputs(files=approved.inputs.files | now.inputs.files).plus(now.inputs)
    return approved.inputs.without_files(named).changes_to(covered.without_files(named))


def covering(approved: Approvable, inputs: Inputs | None) -> Approvable:
    """What an approval covers: with the inputs of a dry run, where there are any. Its digest is not the plan's then."""
    if inputs is None or not isinstance(approved, Plan):
        return approved
    return msgspec.structs.replace(approved, inputs=inputs)


def input_refusal(approved: Approvable, inputs: Inputs | None) -> str:
    """What the dry run executed or read and an approval does not cover, in words; "" where it covers all."""
    if inputs is None or not isinstance(approved, Plan):
        return ""
    changes = approved.inputs.changes_to(approved.inputs.plus(inputs))
    more = f" and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return f"{'; '.join(changes[:SHOWN])}{more}"


def _revision_diff(approved: Plan, now: Plan) -> list[str]:
    was = {revision.id: revision for revision in approved.revisions}
    new = {revision.id: revision for revision in now.revisions}
    found = [f"revision {name} came in" for name in new if name not in was]
    found += [f"revision {name} is gone" for name in was if name not in new]
    return found + [
        f"revision file {new[name].file} was changed"
        for name, revision in was.items()
        if name in new and revision != new[name]
    ]


def _heads(heads: tuple[str, ...]) -> str:
    return ", ".join(heads) or "base"

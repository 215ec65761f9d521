"""The inputs of a plan: what was seen when it was made, what its rehearsal saw besides, what a child may execute."""

from datetime import timedelta
from pathlib import Path

import msgspec

from ci_migrate.migrations import events
from ci_migrate.migrations.graph import Inspection, inspect, make_plan
from ci_migrate.migrations.requests import ExpectedInputs
from ci_migrate.model import Approvable, Direction, Evidence, Inputs, Plan, sha256_hex
from ci_migrate.run.identity import database_of
from ci_migrate.run.run import Run, child_setup
from ci_migrate.settings.settings import Settings
from ci_migrate.settings.urls import redact

KEPT = timedelta(days=30)
"""How old a rehearsal may be that only explains why an approval does not fit."""


def effective_settings(settings: Settings) -> dict[str, str]:
    """The settings that decide what a migration does, as text without secrets.

    Not those that decide how it is watched (timeouts, measuring), nor where it is kept; the destination is the plan's.
    """
    config = settings.alembic_config
    found = {
        "alembic-config": config.name if config is not None else "",
        "alembic-name": settings.alembic_name,
        "configure": settings.configure or "",
        "x": " ".join(settings.x),
        "databases": " ".join(sorted(settings.databases)),
        "allow-connections": " ".join(sorted(settings.allow_connections)),
    }
    return {name: redact(text) for name, text in found.items() if text}


def look_at_target(run: Run) -> tuple[Plan, Inspection]:
    """The plan as it would be now, and what scripts and version tables told; the target is only read.

    Raises:
        CiMigrateError: scripts or version tables can't be read.
    """
    # of several heads the check CM101 says what is wrong, and how to mend it
    heads = "heads" if run.destination == "head" and run.direction is Direction.UPGRADE else None
    found = inspect(run.workers, child_setup(run, "check", destination=heads))
    plan = make_plan(
        found,
        target=run.settings.target,
        identity=run.reader.identity(),
        direction=run.direction,
        destination=run.destination,
        project=run.settings.project_dir,
        inputs=inputs_seen(found.ended.inputs if found.ended else None, run.settings),
    )
    return plan, found


def inputs_seen(seen: events.InputsSeen | None, settings: Settings) -> Inputs:
    """What a child told, with the settings; nothing where it told nothing."""
    if seen is None:
        return Inputs()
    return Inputs(files=seen.files, distributions=seen.distributions, settings=effective_settings(settings))


def approved_inputs(plan: Plan, evidence: Evidence | None) -> Inputs:
    """All that an approval of this plan covers: what the plan names, and what the dry run executed or read besides."""
    return plan.inputs if evidence is None else plan.inputs.plus(evidence.inputs)


def rehearsed_inputs(
    plan: Plan, settings: Settings, *ended: events.InputsSeen | None
) -> tuple[Inputs, dict[str, str]]:
    """What children of a dry run executed and read beyond the plan, and what they made themselves."""
    found, made = Inputs(), dict[str, str]()
    for seen in ended:
        found = inputs_seen(seen, settings).plus(found)  # what the first one saw is what was rehearsed
        made |= seen.made if seen is not None else {}
    return found.beyond(plan.inputs), made


def refused_words(words: str) -> str:
    """That a child was stopped by an input, for people; `words` are the child's: which file, and what of it."""
    return (
        f"Stopped: {words}. Nothing of it was executed.\n"
        "If the change is meant, run again: it is rehearsed then, and approved where that is needed."
    )


def covered_evidence(run: Run, plan: Approvable) -> Evidence | None:
    """What a token that is made now is given for: what the newest dry run of this very plan measured.

    None where there was none, or it is too old: then the token covers what the plan names.
    """
    found = _rehearsals(run, plan, timedelta(seconds=run.settings.max_evidence_age), limit=1)
    return found[0] if found and isinstance(plan, Plan) else None


def _rehearsals(run: Run, plan: Approvable, age: timedelta, *, limit: int) -> list[Evidence]:
    if run.ledger is None:
        return []
    runs = run.ledger.rehearsals(database_of(run), plan.digest, age, limit=limit)
    return [evidence for run_id in runs if (evidence := run.ledger.evidence(run_id)) is not None]


def explain_inputs(
    run: Run, plan: Approvable, approved: str | msgspec.UnsetType, now: Inputs | None
) -> list[str]:
    """Which inputs are not those of an approval that knows their digest alone, in words; [] where nobody knows."""
    if now is None or not isinstance(plan, Plan) or approved in (msgspec.UNSET, now.digest):
        return []
    for evidence in _rehearsals(run, plan, KEPT, limit=20):
        then = approved_inputs(plan, evidence)
        if then.digest == approved:
            return then.changes_to(now)
    return []


def last_approved(run: Run) -> tuple[str, Inputs] | None:
    """The last run of this database that was approved, with its inputs; None where none has any."""
    run_id = run.ledger.last_approved() if run.ledger is not None else None
    record = run.ledger.run(run_id) if run.ledger is not None and run_id is not None else None
    if run.ledger is None or record is None or record.plan is None or not record.plan.inputs:
        return None
    return record.run_id, approved_inputs(record.plan, run.ledger.evidence(record.run_id))


def expected_inputs(settings: Settings, plan: Plan, evidence: Evidence | None = None) -> ExpectedInputs:
    """What a child that runs this plan may execute and read.

    After a dry run that is what the dry run saw and nothing else; before, or without one, what the plan names must be
    the same and other files may come in. A plan that names nothing (by ci-migrate 0.1.0) says nothing of it.
    """
    inputs = approved_inputs(plan, evidence)
    made = evidence.made if evidence is not None else {}
    return ExpectedInputs(
        project=str(settings.project_dir),
        files=made | inputs.files,
        distributions=inputs.distributions,
        closed=bool(plan.inputs) and evidence is not None,
    )


def digest_of(file: Path) -> str:
    """Its sha256; "" where it can't be read, which is never the same as what another run met."""
    try:
        return sha256_hex(file.read_bytes())
    except OSError:
        return ""

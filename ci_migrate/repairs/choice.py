"""Which repair fits, and what a person can type: the one answer for the pipeline, `status`, `repair` and HTTP."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from ci_migrate.approval.payload import WAYS_BACK
from ci_migrate.backups.storage import manifest_text
from ci_migrate.migrations.graph import relative
from ci_migrate.model import Direction, NextCommand, Progress, sha256_hex
from ci_migrate.repairs import BUILT_IN
from ci_migrate.repairs.base import Repair
from ci_migrate.repairs.context import RepairContext
from ci_migrate.repairs.diagnosis import standing_commits
from ci_migrate.run.approvals import protection
from ci_migrate.run.run import Run

AnswerT = TypeVar("AnswerT")

NOTHING_TO_MEND = frozenset({Progress.NOT_STARTED, Progress.ROLLED_BACK, Progress.FINISHED})
"""What is found where a repair only proves and records what is there."""


def list_repairs(run: Run) -> list[Repair]:
    """All repairs, in the order in which they are asked; the built-in ones alone where no plugin was loaded yet."""
    repairs = run.repairs or BUILT_IN
    return sorted((r for r in repairs if isinstance(r, Repair)), key=lambda r: (r.order, r.name))


def find_fitting(context: RepairContext) -> list[tuple[Repair, str]]:
    """The repairs that fit, with what each would do. Who asks to go forward is not led back.

    None fits while somebody else has changed the schema and nobody has accepted that.
    """
    # each repair is proved against what was before: somebody else's is no part of that
    if context.diagnosis.foreign:
        return []
    found = []
    for repair in list_repairs(context.run):
        if context.run.forward and repair.approval in WAYS_BACK:
            continue
        plan = _ask(repair, repair.fits, context)
        if plan is not None:
            found.append((repair, plan))
    return found


def describe_doing(context: RepairContext, fitting: Sequence[tuple[Repair, str]]) -> list[str]:
    """What an approval of a repair binds: of each that fits and writes, where it begins and what it does."""
    stands, backup = context.diagnosis.commit_point, context.backup
    found = []
    for repair, plan in fitting:
        if not repair.approval:
            continue
        source = ""
        if repair.approval == "restore" and backup is not None:
            digest = sha256_hex(manifest_text(backup))
            source = f" (in {context.run.catalog.storage.place}, sha256 of its manifest {digest})"
        found.append(f"{repair.name} from commit point {stands}: {plan}{source}")
    return found


def is_permitted(repair: Repair, ways: frozenset[str] | None) -> bool:
    """Whether a repair goes a way that was approved already; `ways` as `permitted_ways` tells."""
    return ways is None or repair.approval in ("", *ways)


def explain_none(context: RepairContext) -> str:
    """Why nothing is done."""
    if context.diagnosis.foreign:
        return "Somebody else changed the schema meanwhile, and nobody has accepted that."
    reasons = (_ask(repair, repair.explain, context) for repair in list_repairs(context.run))
    return next(filter(None, reasons), "No repair fits.")


def list_next_commands(context: RepairContext) -> tuple[NextCommand, ...]:
    """What a person can type now, what leads on by itself first; none that would find nothing to do."""
    if context.run.forward:  # where that failed, the way back is as good
        context = replace(context, run=replace(context.run, forward=False))
    target = context.run.settings.target
    repair = f"ci-migrate repair --target {target}"
    if context.diagnosis.foreign:
        return (
            accept_command(target),
            NextCommand(command=repair, why="or take back what they did, then"),
        )
    commands = []
    fitting = find_fitting(context)
    if fitting:
        commands.append(NextCommand(command=repair, why=fitting[0][1]))
        if context.diagnosis.found in NOTHING_TO_MEND:
            return tuple(commands)
    elif context.plan.direction is Direction.STAMP:
        revisions = " ".join(sorted({r for c in context.plan.contexts for r in c.to_heads})) or "base"
        commands.append(
            NextCommand(command=f"alembic stamp --purge {revisions}", why="then repair, as below")
        )
    offers = (_ask(one, one.offer, context) for one in list_repairs(context.run))
    commands += [NextCommand(command=o) if isinstance(o, str) else o for o in offers if o]
    if not fitting:
        commands += _go_on_by_alembic(context)
        why = "once the target is as it was before, or as it should be after"
        commands.append(NextCommand(command=repair, why=why))
    return tuple({one.command: one for one in reversed(commands)}.values())[::-1]


def _go_on_by_alembic(context: RepairContext) -> Iterator[NextCommand]:
    """What loses nothing where whole revisions are committed, and no dry run says what there should be."""
    run, commits = context.run, standing_commits(context.read_journal())
    if (
        context.evidence is None
        and context.plan.direction is Direction.UPGRADE
        and commits
        and all(commit.note == "complete" for commit in commits)
        and not protection(run).protected  # plain Alembic is refused there
    ):
        heads = {head for c in context.plan.contexts for head in c.to_heads}
        to = heads.pop() if len(heads) == 1 else "heads"
        why = "or keep whole revisions: mend the one that failed, let Alembic run the rest, then repair as below"
        ini = run.settings.alembic_config
        name = relative(str(ini), run.settings.project_dir) if ini is not None else "alembic.ini"
        config = ["-c", name] if name != "alembic.ini" else []
        yield NextCommand(command=shlex.join(["alembic", *config, "upgrade", to]), why=why)


def accept_command(target: str) -> NextCommand:
    """What accepts somebody else's DDL, and brings the repair to its end."""
    return NextCommand(
        command=f"ci-migrate repair --accept-foreign --target {target}",
        why="lists what somebody else changed, accepts it, and ends the repair",
    )


def _ask(
    repair: Repair, question: Callable[[RepairContext], AnswerT], context: RepairContext
) -> AnswerT | None:
    """What a repair answers; None where it raises: a plugin's repair spoils only itself."""
    try:
        return question(context)
    except Exception as error:  # noqa: BLE001 - see above
        context.run.tell(f"the repair {repair.name} is left out: {type(error).__name__}: {error}")
        return None

"""Checks that look into the copies of the dry run themselves, by connections that only read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ci_migrate.checks.base import Facts
from ci_migrate.databases.base import Database, KnowsLargeObjects
from ci_migrate.databases.weak_spots import WeakSpot, new_weak_spots, weak_spots_of
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.record import Recorder
from ci_migrate.model import Backup, Finding, Plan, Severity
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.run.run import Run, restore_copy

ASKS_BY_NAME = (
    "A query of the catalog names the database itself, {name}. In the dry run the database is a copy with another "
    "name, so the query sees the target there, or nothing: what follows was not rehearsed. Ask the connection instead: "
    "DATABASE() on MySQL and MariaDB, current_database() and current_schema() on PostgreSQL, inspect(op.get_bind()) "
    "without a schema."
)

BOTH = frozenset({"before", "after"})


def find_named(recorder: Recorder, plan: Plan, project: Path) -> Iterator[Finding]:
    """CM107: where the migration asked by the target's own name; one finding a line."""
    for event in {(e.file, e.line): e for e in recorder.named}.values():
        yield Finding(
            code="CM107",
            name="asks-by-name",
            severity=Severity.WARNING,
            message=ASKS_BY_NAME.format(name=event.name),
            revision=event.revision if event.revision and plan.revision(event.revision) else None,
            file=relative(event.file, project),
            line=event.line,
        )


LEAVES = (
    "The statement reaches beyond the database: {sql}. A copy can't take it back, so it was not sent in the dry run, "
    "and runs on the target for the first time."
)


def find_left_out(recorder: Recorder, project: Path) -> Iterator[Finding]:
    """CM108: what was not rehearsed, because somebody means that it reaches beyond the database."""
    for event in {(e.file, e.line, e.sql): e for e in recorder.left_out}.values():
        yield Finding(
            code="CM108",
            name="leaves-copy",
            severity=Severity.ERROR,
            message=LEAVES.format(sql=event.sql),
            revision=event.revision,
            file=relative(event.file, project) if event.file else None,
            line=event.line,
        )


@dataclass(frozen=True)
class Noted:
    """What neither schema nor rows of a copy tell, as it is before the migration."""

    large_objects: int
    weak_spots: Sequence[WeakSpot]


def note(scratch: Database) -> Noted:
    """Look at the copy."""
    large_objects = scratch.large_objects() if isinstance(scratch, KnowsLargeObjects) else 0
    return Noted(large_objects, weak_spots_of(scratch))


def with_changes(facts: Facts, before: Noted, scratch: Database) -> Facts:
    """The facts, with what became of it."""
    after = note(scratch)
    return replace(
        facts,
        large_objects=(before.large_objects, after.large_objects),
        weak_spots=new_weak_spots(before.weak_spots, after.weak_spots),
    )


def look_before(run: Run, facts: Facts, scratch: Database) -> tuple[Finding, ...]:
    """What checks find that look at the restored copy alone, which is not migrated yet."""
    return run.look(replace(facts, copies={"before": scratch}), measured=True)


def look_after(run: Run, facts: Facts, backup: Backup, scratch: Database) -> tuple[Finding, ...]:
    """What checks find that look at the migrated copy; where one looks at both, the backup is restored once more.

    Raises:
        CiMigrateError: there is no second copy to be had.
    """
    found = run.look(replace(facts, copies={"after": scratch}), measured=True)
    if not any(check.copies == BOTH for check in run.checks):
        return found
    run.tell("restoring a second copy: a check looks at before and after")
    with restore_copy(run, backup, name=f"{run.id}_before") as kept:
        mask_copy(run.settings, kept, run.masks)
        return (*found, *run.look(replace(facts, copies={"before": kept, "after": scratch}), measured=True))

"""Checks that look into the copies of the dry run themselves, by connections that only read."""

from dataclasses import replace

from ci_migrate.checks.base import Facts
from ci_migrate.databases.base import Database
from ci_migrate.model import Backup, Finding
from ci_migrate.run.run import Run, restore_copy

BOTH = frozenset({"before", "after"})


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
        return (*found, *run.look(replace(facts, copies={"before": kept, "after": scratch}), measured=True))

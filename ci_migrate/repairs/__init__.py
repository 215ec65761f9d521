"""Diagnosis, and one repair per file (the prefix is kept or taken back: two halves of one choice)."""

from collections.abc import Sequence

from ci_migrate.markers import hookimpl
from ci_migrate.repairs import (
    downgrade,
    finished,
    restore,
    restore_tables,
    resume,
    rolled_back,
    undo_additions,
)
from ci_migrate.repairs.base import Repair

BUILT_IN: tuple[Repair, ...] = (
    resume.REPAIR,
    rolled_back.REPAIR,
    finished.REPAIR,
    downgrade.KEEP,
    undo_additions.REPAIR,
    downgrade.BACK,
    restore_tables.REPAIR,
    restore.REPAIR,
)


@hookimpl
def ci_migrate_repairs() -> Sequence[Repair]:
    """The built-in repairs."""
    return BUILT_IN

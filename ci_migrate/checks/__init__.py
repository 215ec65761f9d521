"""One check per file, one code each (a pair where two are the two halves of one question)."""

from collections.abc import Sequence

from ci_migrate.checks import (
    dropped_with_rows,
    edited_after_applied,
    missing_downgrade,
    rows_lost,
    single_head,
    way_back,
)
from ci_migrate.checks.base import Check
from ci_migrate.markers import hookimpl

BUILT_IN: tuple[Check, ...] = (
    single_head.CHECK,
    edited_after_applied.CHECK,
    dropped_with_rows.TABLE_DROPPED,
    dropped_with_rows.COLUMN_DROPPED,
    missing_downgrade.CHECK,
    way_back.CHECK,
    rows_lost.ROWS_LOST,
    rows_lost.VALUES_LOST,
)


@hookimpl
def ci_migrate_checks() -> Sequence[Check]:
    """The built-in checks."""
    return BUILT_IN

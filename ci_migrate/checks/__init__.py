"""One check per file, one code each (a pair where two are the two halves of one question)."""

from collections.abc import Sequence

from ci_migrate.checks import (
    assertion_fails,
    changed_on_the_side,
    changed_outside,
    deployed_release,
    downgrade_loses,
    dropped_with_rows,
    edited_after_applied,
    history_lost,
    large_objects_gone,
    lock_held,
    lost_on_the_side,
    missing_downgrade,
    models_differ,
    never_stamped,
    non_deterministic,
    not_validated,
    numbers_again,
    previous_release,
    rows_locked,
    rows_lost,
    single_head,
    squawk,
    table_rewritten,
    transaction_split,
    unfit_acknowledgement,
    values_narrowed,
    way_back,
    weak_spots,
)
from ci_migrate.checks.base import Check
from ci_migrate.markers import hookimpl

BUILT_IN: tuple[Check, ...] = (
    single_head.CHECK,
    edited_after_applied.CHECK,
    never_stamped.CHECK,
    unfit_acknowledgement.CHECK,
    dropped_with_rows.TABLE_DROPPED,
    dropped_with_rows.COLUMN_DROPPED,
    values_narrowed.CHECK,
    large_objects_gone.CHECK,
    numbers_again.CHECK,
    changed_on_the_side.CHECK,
    weak_spots.REFUSES_WRITES,
    weak_spots.HIDDEN,
    not_validated.CHECK,
    lost_on_the_side.CHECK,
    lock_held.CHECK,
    table_rewritten.CHECK,
    transaction_split.CHECK,
    rows_locked.CHECK,
    weak_spots.UNINDEXED,
    missing_downgrade.CHECK,
    way_back.CHECK,
    downgrade_loses.LOSSES,
    downgrade_loses.ELSEWHERE,
    changed_outside.CHECK,
    models_differ.CHECK,
    history_lost.CHECK,
    rows_lost.ROWS_LOST,
    rows_lost.VALUES_LOST,
    non_deterministic.CHECK,
    assertion_fails.CHECK,
    previous_release.CHECK,
    deployed_release.GONE,
    deployed_release.REQUIRED,
    deployed_release.TYPE,
    deployed_release.CONSTRAINT,
    deployed_release.UNKNOWN,
    deployed_release.NULL,
    squawk.CHECK,
)


@hookimpl
def ci_migrate_checks() -> Sequence[Check]:
    """The built-in checks."""
    return BUILT_IN

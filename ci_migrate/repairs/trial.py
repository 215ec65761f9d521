"""A repair that changes data is tried on a copy of the target as it is now, and proved there, before the target."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ci_migrate.backups.room import refuse_scratch_without_room
from ci_migrate.databases.base import Database
from ci_migrate.model import Plan, TableContent
from ci_migrate.run.run import Run, translate_errors


def try_on_copy(
    run: Run, plan: Plan, mend: Callable[[Database], None], proof: Callable[[Database], list[str]]
) -> list[str]:
    """Try a repair on a copy of the target as it is now.

    Args:
        run: this run.
        plan: what was to run; its version tables are copied too.
        mend: the repair; it is given the copy here, and the target by the caller afterwards.
        proof: returns in words what is not as it should be in a mended database.

    Returns:
        What is not as it should be in the mended copy, in words; [] means that the target may be mended.

    Raises:
        CiMigrateError: no copy can be had, or the repair failed on it. The target is untouched.
    """
    with copy_of_target(run, plan) as copy, translate_errors(copy):
        mend(copy)
        return proof(copy)


@contextmanager
def copy_of_target(run: Run, plan: Plan) -> Iterator[Database]:
    """The target as it is now, broken as it may be, in a scratch copy that is dropped when the block is left."""
    size = run.reader.size()
    refuse_scratch_without_room(run.copies, run.scratch_folder, size)
    with TemporaryDirectory(prefix="broken-", dir=run.scratch_folder) as folder:
        with run.watch("copy", size) as progress:
            run.reader.dump(Path(folder), [c.version_table for c in plan.contexts], progress)
        with run.copies.scratch(f"{run.id}_try", run.scratch_folder) as copy:
            with run.watch("restore", size) as progress:
                copy.load(Path(folder), progress)
            yield copy


def other_rows(expected: Mapping[str, TableContent | None], found: Mapping[str, TableContent]) -> list[str]:
    """Tables that don't hold what they should, in words: counts first, then NULLs and values per column.

    Args:
        expected: of each table that matters; None where it should not exist.
        found: as `Database.contents` tells.
    """
    words = []
    for table, then in sorted(expected.items()):
        now = found.get(table)
        if then is None or now is None:
            if then is not now:
                words.append(f"table {table} is {'gone' if now is None else 'still there'}")
        elif now.rows != then.rows:
            words.append(f"table {table} has {now.rows} rows instead of {then.rows}")
        elif now != then:
            columns = [c for c in sorted(then.columns) if then.columns[c] != now.columns.get(c)]
            words.append(f"table {table} has other values in {', '.join(columns) or 'its rows'}")
    return words

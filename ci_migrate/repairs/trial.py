"""A repair that changes data is tried on a copy of the target as it is now, and proved there, before the target."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ci_migrate.backups.room import refuse_scratch_without_room
from ci_migrate.databases.base import Database
from ci_migrate.repairs.context import RepairContext
from ci_migrate.run.run import translate_errors


def try_on_copy(
    context: RepairContext, mend: Callable[[Database], None], proof: Callable[[Database], list[str]]
) -> list[str]:
    """Try a repair on a copy of the target as it is now.

    Args:
        context: of the repair.
        mend: the repair; it is given the copy here, and the target by the caller afterwards.
        proof: returns in words what is not as it should be in a mended database.

    Returns:
        What is not as it should be in the mended copy, in words; [] means that the target may be mended.

    Raises:
        CiMigrateError: no copy can be had, or the repair failed on it. The target is untouched.
    """
    with copy_target(context) as copy, translate_errors(copy):
        mend(copy)
        return proof(copy)


@contextmanager
def copy_target(context: RepairContext) -> Iterator[Database]:
    """The target as it is now, broken as it may be, in a scratch copy that is dropped when the block is left."""
    run = context.run
    size = run.reader.size()
    refuse_scratch_without_room(run.copies, run.scratch_folder, size)
    with TemporaryDirectory(prefix="broken-", dir=run.scratch_folder) as folder:
        with run.watch("copy", size) as progress:
            run.reader.dump(Path(folder), [c.version_table for c in context.plan.contexts], progress)
        with run.copies.scratch(f"{run.id}_try", run.scratch_folder) as copy:
            with run.watch("restore", size) as progress:
                copy.load(Path(folder), progress)
            yield copy

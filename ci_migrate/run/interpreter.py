"""The project's interpreter, started before anything is known of the target."""

from collections.abc import Iterator
from contextlib import contextmanager

from ci_migrate.approval.trust import work_trees
from ci_migrate.migrations.lender import Lender
from ci_migrate.settings.settings import Settings


@contextmanager
def lending(settings: Settings) -> Iterator[Lender | None]:
    """The interpreter, which ends with the block.

    None where it can't be started: whoever needs it says why. And where it lies in the working tree, other than as a
    link out of it: on a target that turns out to be production it must not run (`programs.refuse_programs`).
    """
    place = settings.python.resolve()
    if any(tree in place.parents for tree in work_trees(settings.environ, settings.project_dir)):
        yield None
        return
    with Lender.lending(str(settings.python), settings.project_dir, settings.environ) as lender:
        yield lender

"""The project's interpreter, started before anything is known of the target."""

from collections.abc import Iterator
from contextlib import contextmanager

from ci_migrate.approval.trust import work_trees
from ci_migrate.errors import ToolError
from ci_migrate.migrations.lender import Lender
from ci_migrate.settings.settings import Settings


@contextmanager
def lending(settings: Settings, driver: str = "") -> Iterator[Lender | None]:
    """The interpreter, which ends with the block; `driver` as `Launch.driver`.

    None where it can't be started: whoever needs it says why. And where it lies in the working tree, other than as a
    link out of it: on a target that turns out to be production it must not run (`programs.refuse_programs`).
    """
    place = settings.python.resolve()
    if any(tree in place.parents for tree in work_trees(settings.environ, settings.project_dir)):
        yield None
        return
    try:
        lender = Lender.start(str(settings.python), settings.project_dir, settings.environ, driver)
    except ToolError:
        yield None
        return
    try:
        yield lender
    finally:
        lender.forker.close()

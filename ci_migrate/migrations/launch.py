"""How the project's interpreter is started."""

from sqlalchemy import URL

from ci_migrate.databases.base import Database
from ci_migrate.databases.composite.database import members_of
from ci_migrate.migrations.environment import ChildEnvironment, known_reader, known_targets
from ci_migrate.migrations.runner import Launch
from ci_migrate.settings.settings import Settings


def launch(
    settings: Settings,
    lock_fds: tuple[int, ...] = (),
    database: Database | None = None,
    reader: URL | None = None,
) -> Launch:
    """How the project's interpreter is started, without a variable that a stage must be told by itself.

    Args:
        settings: for the target.
        lock_fds: what the lock is held by.
        database: the target, where it is known.
        reader: what `read-url` leads to, where it is known.
    """
    targets = known_targets(settings)
    if database is not None:
        targets |= {name: member.url for name, member in members_of(database).items()}
    environ = ChildEnvironment(settings, targets, reader or known_reader(settings)).for_all()
    return Launch(
        python=str(settings.python),
        directory=settings.project_dir,
        environ=environ,
        lock_fds=lock_fds,
        stall_timeout=settings.stall_timeout,
        driver=database.url.drivername if database is not None else "",
    )

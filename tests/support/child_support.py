"""A child process of a small project, without a gate around it."""

import os
import sys

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.migrations import events
from ci_migrate.migrations.requests import (
    AlembicConfig,
    Mode,
    PlannedTable,
    RunRequest,
    Setup,
    wall_entry,
)
from ci_migrate.migrations.runner import Launch, Workers
from ci_migrate.model import Direction

PLANNED = (PlannedTable(key="|||alembic_version", from_heads=(), revisions=("r1",)),)


def plain_request(zoo, *, configure=None, **more):
    """Migrate the zoo's SQLite database by its one revision."""
    return RunRequest(
        setup=Setup(
            alembic=AlembicConfig(ini=str(zoo.folder / "alembic.ini"), configure=configure),
            direction=Direction.UPGRADE,
            destination="head",
            databases=(wall_entry("", SQLite(zoo.url).wall()),),
        ),
        mode=Mode.MIGRATE,
        contexts=PLANNED,
        **more,
    )


def start_workers(zoo, interrupt=None, **more):
    """A server of children in the project's folder."""
    launch = Launch(python=sys.executable, directory=zoo.folder, environ=dict(os.environ), **more)
    return Workers(launch, interrupt)


class Seen:
    """A handler that keeps the events and does something at one of them."""

    def __init__(self, at=None, action=None):
        self.events = []
        self.at = at
        self.action = action

    def __call__(self, event):
        self.events.append(event)
        if self.at is not None and isinstance(event, events.StatementStarted) and self.at in event.sql:
            return self.action(event)
        return None

    def sql(self):
        return [e.sql for e in self.events if isinstance(e, events.StatementStarted) and e.revision]

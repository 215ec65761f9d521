"""Scratch databases for a project's tests, and its revisions run on them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import text

from ci_migrate.databases.base import Database, session
from ci_migrate.errors import RefusedError
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import graph_of, inspect, make_plan, relative
from ci_migrate.migrations.requests import (
    CompareRequest,
    Mode,
    RunRequest,
    Setup,
    make_tables,
    project_setup,
)
from ci_migrate.migrations.runner import Ended, Handle, Workers
from ci_migrate.model import Direction, Plan
from ci_migrate.run.inputs import inputs_seen
from ci_migrate.run.run import Run, child_setup, translate_errors
from ci_migrate.session import GateRequest, launch, new_run_id, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.verbs import VERBS


@dataclass(frozen=True)
class Failure:
    """Why something failed: where (`file:line`), what, and the traceback; `skipped` if it could not be tried."""

    what: str
    where: str = ""
    trace: str = ""
    skipped: bool = False


Result = Failure | None
"""None: it passed."""


def read_graph(settings: Settings) -> events.Graph:
    """The revision graph; no database is needed. Raises RefusedError or WorkerError: the scripts can't be loaded."""
    with Workers(launch(settings)) as workers:
        return graph_of(workers, project_setup(settings, Direction.UPGRADE, "heads"))


class Trials:
    """Scratch databases of one project. `close` drops what is left of them and ends the child's interpreter.

    Args:
        settings: of the target beside which scratch databases are made; it is never written.

    Raises:
        RefusedError: the target has several databases.
        CiMigrateError: the target can't be reached, or has no room for them.
    """

    def __init__(self, settings: Settings) -> None:
        self._stack = ExitStack()
        if settings.databases:
            raise RefusedError(
                f"Revisions that migrate several databases ({', '.join(settings.databases)}) are tried by a dry run.",
                hint="ci-migrate dry-run",
            )
        request = GateRequest(VERBS["dry-run"], destination="heads")
        self.run: Run = self._stack.enter_context(open_session(replace(settings, auto_backup=False), request))

    def close(self) -> None:
        """Drop the scratch databases. May be called twice."""
        self._stack.close()

    @contextmanager
    def scratch(self) -> Iterator[Database]:
        """An empty scratch database, dropped when the block is left."""
        with self.run.copies.scratch(new_run_id(), self.run.scratch_folder) as copy:
            yield copy

    def plan(self, scratch: Database, destination: str, direction: Direction = Direction.UPGRADE) -> Plan:
        """What Alembic would run on a scratch database.

        Raises:
            RefusedError: there is no such revision, or it makes no sense from here.
            WorkerError: env.py could not be run.
        """
        found = inspect(self.run.workers, self._setup(scratch, direction, destination), Mode.DRY_RUN)
        return make_plan(
            found,
            target=self.run.settings.target,
            identity=scratch.identity(),
            direction=direction,
            destination=destination,
            project=self.run.settings.project_dir,
            inputs=inputs_seen(found.ended.inputs if found.ended else None, self.run.settings),
        )

    def send(
        self, scratch: Database, plan: Plan, handle: Handle, *, asks: tuple[str, ...] = events.AHEAD
    ) -> Ended:
        """Run a plan on a scratch database, each revision in a transaction of its own."""
        request = RunRequest(
            setup=self._setup(scratch, plan.direction, plan.destination),
            mode=Mode.DRY_RUN,
            asks=asks,
            contexts=make_tables(plan),
            each_revision=True,
        )
        return self.run.workers.run(request, handle, urgent=True)

    def compare(self, scratch: Database, plan: Plan, handle: Handle) -> Ended:
        """Compare env.py's models with a scratch database."""
        setup = self._setup(scratch, plan.direction, plan.destination)
        return self.run.workers.run(
            CompareRequest(setup=setup, mode=Mode.DRY_RUN, asks=()), handle, urgent=True
        )

    def _setup(self, scratch: Database, direction: Direction, destination: str) -> Setup:
        return child_setup(self.run, "dry-run", scratch, direction=direction, destination=destination)

    def failure(self, ended: Ended, file: str | None = None) -> Failure:
        """How a child ended, for people; `file` where it does not tell."""
        failed = ended.failed
        file = (failed.file if failed else None) or file
        line = f":{failed.line}" if failed and failed.file and failed.line else ""
        where = f"{relative(file, self.run.settings.project_dir)}{line}" if file else ""
        return Failure(ended.words, where, (failed.trace if failed else "") or ended.output)


class TriedDatabase:
    """What the fixture `ci_migrate_database` gives: a scratch database at a revision, to fill and to move on.

    Attributes:
        url: where it is, as a SQLAlchemy URL with its password.
    """

    def __init__(self, trials: Trials, database: Database) -> None:
        self._trials = trials
        self._database = database
        self.url = database.url

    def __repr__(self) -> str:
        return f"<TriedDatabase {self.url.render_as_string(hide_password=True)}>"

    def execute(
        self, sql: str, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()
    ) -> list[Any]:
        """Run one statement (`:name` for parameters) and commit it; the rows that it gives, [] where it gives none."""
        with translate_errors(self._database), session(self._database) as connection:
            result = connection.execute(text(sql), parameters or None)
            rows = list(result) if result.returns_rows else []
            connection.commit()
        return rows

    def upgrade(self, revision: str = "heads") -> None:
        """Run the upgrades up to a revision. Raises RefusedError naming revision, file and line where one fails."""
        self._move(revision, Direction.UPGRADE)

    def downgrade(self, revision: str) -> None:
        """Run the downgrades down to a revision (`base`: all of them). Raises as `upgrade`."""
        self._move(revision, Direction.DOWNGRADE)

    def _move(self, revision: str, direction: Direction) -> None:
        plan = self._trials.plan(self._database, revision, direction)
        ended = self._trials.send(self._database, plan, lambda _event: None, asks=())
        if not ended.ok:
            failure = self._trials.failure(ended)
            failed = ended.failed.revision if ended.failed else None
            raise RefusedError(
                f"{direction.value.capitalize()} of {failed or revision} fails"
                f"{f' ({failure.where})' if failure.where else ''}: {failure.what}",
                state="It ran on a scratch database.",
            )

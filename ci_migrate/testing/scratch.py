"""Scratch databases for a project's tests, and its revisions run on them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import text

from ci_migrate.databases.base import Database, session
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.errors import CiMigrateError, RefusedError
from ci_migrate.migrations import events
from ci_migrate.migrations.environment import ChildEnvironment
from ci_migrate.migrations.graph import inspect, make_plan, relative
from ci_migrate.migrations.requests import (
    CompareRequest,
    Mode,
    RunRequest,
    Setup,
    make_tables,
)
from ci_migrate.migrations.runner import Ended, Handle
from ci_migrate.migrations.template import make_template
from ci_migrate.model import Direction, Plan
from ci_migrate.run.inputs import inputs_seen
from ci_migrate.run.run import Run, child_setup, translate_errors
from ci_migrate.session import GateRequest, new_run_id, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.testing.scripts import Scripts
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


class NeedsOwnProcessError(Exception):
    """A process that was forked off the template ended, or may not do what a revision wants: another one is to tell."""


class Trials:
    """Scratch databases of one project. `close` drops what is left of them and ends the children.

    Args:
        settings: of the target beside which scratch databases are made; it is never written.
        scripts: of the project, where they were loaded already; they stay the caller's.

    Raises:
        RefusedError: the target has several databases.
        CiMigrateError: the target can't be reached, or has no room for them.
    """

    def __init__(self, settings: Settings, scripts: Scripts | None = None) -> None:
        self._stack = ExitStack()
        if settings.databases:
            raise RefusedError(
                f"Revisions that migrate several databases ({', '.join(settings.databases)}) are tried by a dry run.",
                hint="ci-migrate dry-run",
            )
        template = scripts.template if scripts is not None and settings.url is None else None
        request = GateRequest(VERBS["dry-run"], destination="heads")
        settings = replace(settings, auto_backup=False)
        url = template.url if template is not None else None
        self.run: Run = self._stack.enter_context(open_session(settings, request, asked=url))
        self._may_fork = True  # children off a template
        self._knows_target = False  # the template saw variables that lead to the target
        if template is not None:
            self.run.workers.template = template.forker
            self._may_fork = template.forker is not None
            doors = ChildEnvironment(settings, {MAIN: template.url}).for_stage({MAIN: template.url})
            self._knows_target = bool(doors)

    def close(self) -> None:
        """Drop the scratch databases. May be called twice."""
        self._stack.close()

    @contextmanager
    def scratch(self) -> Iterator[Database]:
        """An empty scratch database, dropped when the block is left."""
        with self.run.copies.scratch(new_run_id(), self.run.scratch_folder) as copy:
            yield copy

    def _warm_up(self, setup: Setup) -> None:
        """Have a template, from which all but the first child are forked."""
        workers = self.run.workers
        if workers.template is None and self._may_fork:
            self._may_fork = False
            # no database is its own: env.py comes no further than to its first connection
            made = make_template(workers, msgspec.structs.replace(setup, databases=()))
            if made is not None and made.forker is not None:
                workers.template = made.forker
                self._stack.callback(made.forker.close)

    def use_no_template(self) -> bool:
        """From now on each child starts anew. False where each did so before."""
        used, self.run.workers.template = self.run.workers.template is not None, None
        return used

    def use_no_template_that_knows_the_target(self) -> None:
        """What runs now can't be done again from an empty database, as it must where it starts a program."""
        if self._knows_target:
            self.use_no_template()

    def plan(self, scratch: Database, destination: str, direction: Direction = Direction.UPGRADE) -> Plan:
        """What Alembic would run on a scratch database.

        Raises:
            RefusedError: there is no such revision, or it makes no sense from here.
            WorkerError: env.py could not be run.
        """
        self._warm_up(self._setup(scratch, direction, destination))
        try:
            found = inspect(self.run.workers, self._setup(scratch, direction, destination), Mode.DRY_RUN)
        except CiMigrateError:  # env.py may not bear it twice in a process
            if not self.use_no_template():
                raise
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
        """Run a plan on a scratch database, each revision in a transaction of its own.

        Raises:
            NeedsOwnProcessError: it has to be done again from an empty database; then it will not be raised again.
        """
        begun = False

        def hear(event: events.AnyEvent) -> str | None:
            nonlocal begun
            begun = begun or isinstance(event, events.RevisionStarted)
            return handle(event)

        ended = self._send(scratch, plan, hear, asks)
        # an exception in a revision is its own; what ended without one, or before it, may be due to the fork
        if ended.ok or (begun and ended.failed is not None and ended.failed.kind != "program"):
            return ended
        if not self.use_no_template():
            return ended
        if begun:
            raise NeedsOwnProcessError
        return self._send(scratch, plan, handle, asks)

    def _send(self, scratch: Database, plan: Plan, handle: Handle, asks: tuple[str, ...]) -> Ended:
        request = RunRequest(
            setup=self._setup(scratch, plan.direction, plan.destination),
            mode=Mode.DRY_RUN,
            asks=asks,
            contexts=make_tables(plan),
            each_revision=True,
        )
        return self.run.workers.run(request, handle, urgent=True)

    def compare(self, scratch: Database, plan: Plan) -> list[str]:
        """How env.py's models differ from a scratch database, in words; why it can't be told is among them."""
        ended, found = self._compare(scratch, plan)
        if not ended.ok and self.use_no_template():
            ended, found = self._compare(scratch, plan)
        return found if ended.ok else [*found, ended.words]

    def _compare(self, scratch: Database, plan: Plan) -> tuple[Ended, list[str]]:
        found: list[str] = []

        def hear(event: events.AnyEvent) -> None:
            if isinstance(event, events.Models):
                found.extend([*event.differences, *([event.error] if event.error else [])])

        setup = self._setup(scratch, plan.direction, plan.destination)
        request = CompareRequest(setup=setup, mode=Mode.DRY_RUN, asks=())
        return self.run.workers.run(request, hear, urgent=True), found

    def _setup(self, scratch: Database, direction: Direction, destination: str) -> Setup:
        setup = child_setup(self.run, "dry-run", scratch, direction=direction, destination=destination)
        # what was imported where variables led to the target must not hand them on to a program
        knows = self._knows_target and self.run.workers.template is not None
        return msgspec.structs.replace(setup, programs=not knows)

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
        self._trials.use_no_template_that_knows_the_target()
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

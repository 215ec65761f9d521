"""What all stages share: the Run, and how a child process is asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ci_migrate.approval.decision import Approver
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.fetch import most_unpacked
from ci_migrate.backups.provider import OpenDatabase, refuse_same
from ci_migrate.backups.room import refuse_scratch_without_room
from ci_migrate.backups.storage import Storage
from ci_migrate.checks import BUILT_IN
from ci_migrate.checks.base import Check, Facts, Grading, run_checks
from ci_migrate.databases.base import Database, Lock, Watch, takes_tables, unwatched
from ci_migrate.errors import CiMigrateError, DatabaseError, RefusedError
from ci_migrate.ledger.ledger import Ledger
from ci_migrate.ledger.protection import Protection
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.record import without_version_tables
from ci_migrate.migrations.requests import ExpectedInputs, Setup, project_setup, target_setup
from ci_migrate.migrations.runner import Workers
from ci_migrate.model import Backup, Direction, Finding, Plan, Report, Schema, StageResult
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.tempdirs import private_folder
from ci_migrate.verbs import Verb

Mask = Callable[[Connection, str], object]
"""A plugin's: replaces private values in one database of a scratch copy ("" for the main one), and says what it did."""


class Named(Protocol):
    """A repair, as far as a run knows it: `repairs.base.Repair` is given a context that is built upon a run."""

    @property
    def name(self) -> str:
        """Unique among the repairs of a run."""


@dataclass(frozen=True)
class Run:
    """All that a stage may touch. Frozen; results travel in the Report.

    As it stands here it only reads. `LedgerRun` and `WritingRun` are the same with more at hand: what needs a ledger,
    or the run lock too, takes one of them and so can't be called without.
    """

    id: str
    subject: str  # the run that is repaired; else the same as `id`
    verb: Verb
    settings: Settings
    direction: Direction
    destination: str
    database: Database  # the target
    reader: Database  # the same, by `read-url`: for check, backup and dry run
    copies: (
        Database  # on its server scratch copies live: the target itself, or what the setting `scratch` names
    )
    workers: Workers
    interrupt: Interrupt
    scratch_folder: Path
    catalog: Catalog
    ledger: Ledger | None  # of the target; None where there is none yet
    protection: Protection  # as the ledger told it before anything of the repository ran
    lock: Lock | None  # nobody else writes to the target while it is held
    checks: Sequence[Check] = ()
    repairs: Sequence[Named] = ()
    approvers: Callable[[Plan], Sequence[Approver]] = lambda _plan: ()
    masks: Mapping[str, Mask] = field(default_factory=dict)  # of installed plugins, by their names
    token: Secret | None = None
    unfit: CiMigrateError | None = None  # what is wrong with the token, looked at before any script was run
    tell: Callable[[str], None] = field(default=lambda _text: None)
    open_database: OpenDatabase | None = None  # a provider's clone, by its URL
    open_storage: Callable[[str], Storage] | None = (
        None  # where backups, or notes of used tokens, are or were
    )
    watch: Watch = unwatched  # shows how far something long is
    forward: bool = False  # a repair shall run what is left, rather than lead back
    accept_foreign: bool = False  # a repair shall take what somebody else changed in the schema as given
    purge: bool = False  # a stamp takes all version rows away first

    @cached_property
    def place(self) -> str:
        """Where the target is, as reports show it. Raises DatabaseError if it does not answer when first asked."""
        return self.database.identity().place

    def grading(self, plan: Plan) -> Grading:
        """What settings, flags and revision files say about findings."""
        return Grading.of(self.settings.checks, self.settings.allow, plan)

    def look(self, facts: Facts, *, measured: bool, more: Iterable[Finding] = ()) -> tuple[Finding, ...]:
        """Run the checks of one kind; findings, also `more` of a stage's own, are graded."""
        grading = self.grading(facts.plan)
        graded = [f for f in map(grading.apply, more) if f is not None]
        found = run_checks(
            self.checks,
            facts,
            grading,
            measured=measured,
            timeout=self.settings.hook_timeout,
            built_in=BUILT_IN,
        )
        return (*found, *graded)


@dataclass(frozen=True)
class LedgerRun(Run):
    """A run on a target that has a ledger."""

    ledger: Ledger


@dataclass(frozen=True)
class WritingRun(LedgerRun):
    """A run that holds the run lock too: it may write to the target."""

    lock: Lock


def narrow(run: Run) -> Run:
    """The same run, of the type that says what it has."""
    if run.ledger is None:
        return run
    kind = LedgerRun if run.lock is None else WritingRun
    return kind(**{f.name: getattr(run, f.name) for f in fields(run)})


def require_ledger(run: Run) -> LedgerRun:
    """The run, on a target that has a ledger. Raises RefusedError where it has none yet."""
    if isinstance(run, LedgerRun):
        return run
    raise RefusedError(f"Target {run.settings.target} has no ledger.", hint="ci-migrate run makes it.")


@contextmanager
def restore_copy(run: Run, backup: Backup, name: str = "") -> Iterator[Database]:
    """A backup, restored into a scratch copy; or the clone that its provider makes.

    Args:
        run: this run.
        backup: what is restored, verified on the way.
        name: the scratch copy's; the run's id by default.

    Raises:
        CiMigrateError: there is no room, the backup is damaged, or the provider can't.
    """
    if backup.provider_id is None:
        refuse_scratch_without_room(run.copies, run.scratch_folder, backup.database_size)
        with run.copies.scratch(name or run.id, run.scratch_folder) as copy:
            with run.catalog.reading(backup) as payload, run.watch("restore", backup.backup_size) as progress:
                copy.load(payload, progress, most=most_unpacked(backup))
            yield copy
        return
    provider = run.catalog.provider_of(backup)
    if not provider.clone or run.open_database is None:
        raise RefusedError(
            f"{backup.backup_id} is the provider's {backup.provider_id}: without provider-clone it is unproven."
        )
    with ExitStack() as stack:
        with run.watch("clone", 0):
            clone = run.open_database(stack.enter_context(provider.clone_of(run.database, backup)))
        refuse_same(run.database, clone)
        if run.reader is not run.database:
            refuse_same(run.reader, clone, "the database that read-url leads to")
        yield clone


@contextmanager
def schema_copy(run: Run, plan: Plan, name: str = "") -> Iterator[Database]:
    """A scratch copy of the target's schema, with Alembic's version rows and no others.

    Args:
        run: this run; the target is only read.
        plan: its version tables.
        name: the scratch copy's; the run's id by default.

    Raises:
        CiMigrateError: the schema can't be read, or not be made again.
        RefusedError: this kind of target has no copies without rows.
    """
    if not run.reader.capabilities.tables:
        raise RefusedError(
            f'dry-run = "schema": of {run.reader.identity().place} there can be no copy without rows.',
            hint='Set dry-run = "backup".',
        )
    with private_folder() as folder, run.watch("schema", 0):
        takes_tables(run.reader).dump_tables(folder, [c.version_table for c in plan.contexts], ())
        with run.copies.scratch(name or run.id, run.scratch_folder) as copy:
            copy.load(folder)
            yield copy


LEAVES_COPY = "CM108"
"""The code of a statement that reaches beyond the database."""

RunStage = Callable[[Run, Report], StageResult]


def child_setup(
    run: Run,
    stage: str,
    scratch: Database | None = None,
    *,
    direction: Direction | None = None,
    destination: str | None = None,
    inputs: ExpectedInputs | None = None,
    plan: Plan | None = None,
) -> Setup:
    """What each request to a child of this run says.

    Args:
        run: this run.
        stage: told to the project as CI_MIGRATE_STAGE.
        scratch: where connections to the target go instead; None leaves them on the target.
        direction: the run's, unless told otherwise.
        destination: the run's, unless told otherwise.
        inputs: what the child may execute and read; None: whatever it wants.
        plan: of a dry run, whose revisions may be meant to reach beyond the database (CM108).
    """
    place = scratch or (run.reader if stage == "check" else run.database)
    project = project_setup(run.settings, direction or run.direction, destination or run.destination)
    if inputs is not None:
        project = msgspec.structs.replace(project, inputs=inputs)
    if plan is not None:
        project = msgspec.structs.replace(project, elsewhere=_meant_elsewhere(run, plan))
    return target_setup(
        project,
        run.settings,
        run_id=run.id,
        stage=stage,
        database=run.database,
        place=place,
        scratch=scratch,
        reader=run.reader if run.settings.read_url is not None else None,
        marks=run.ledger.marks_in(run.database.url) if run.ledger is not None and scratch is None else None,
    )


def _meant_elsewhere(run: Run, plan: Plan) -> tuple[str, ...]:
    """The revisions of which somebody means that they reach beyond the database."""
    grading = run.grading(plan)
    holding = [one for one in grading.allowed if not one.over(grading.today)]
    return tuple(r.id for r in plan.revisions if any(one.fits(LEAVES_COPY, r.id) for one in holding))


def schema_of(database: Database) -> Schema:
    """The whole schema."""
    with translate_errors(database):
        return database.schema()


def bare_schema(database: Database, plan: Plan) -> Schema:
    """The schema without Alembic's version tables."""
    return without_version_tables(schema_of(database), plan)


def heads_of(database: Database, plan: Plan) -> tuple[tuple[str, ...], ...]:
    """The rows of each version table of the plan."""
    with translate_errors(database):
        return database.heads([c.version_table for c in plan.contexts])


@contextmanager
def translate_errors(database: Database) -> Iterator[None]:
    """A driver's error becomes one line without secrets."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(database.explain(error), state="") from error

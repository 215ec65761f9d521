"""The hooks. All start with `ci_migrate_`; whatever has an outcome of its own is returned and run by the core.

A plugin is a module or object with functions of these names, marked with `ci_migrate.hookimpl`. It is found by
the setting `plugins` (a module name or a file) or by the entry point group `ci_migrate`. A hook that raises spoils
only itself: the run goes on to a finding with the plugin's name, except where the docstring says otherwise. One that
takes longer than `hook-timeout` counts as one that raised. It gets copies: what it changes in them changes nothing.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

from sqlalchemy import Connection

from ci_migrate.approval.decision import Approver
from ci_migrate.backups.storage import StorageFactory
from ci_migrate.checks.base import Check
from ci_migrate.databases.base import DatabaseFactory
from ci_migrate.markers import hookspec
from ci_migrate.model import Finding, Plan, StageResult
from ci_migrate.repairs.base import Repair
from ci_migrate.reports.base import Reporter
from ci_migrate.settings.settings import Settings


@hookspec
def ci_migrate_databases() -> Sequence[DatabaseFactory]:  # type: ignore[empty-body]
    """Engines.

    Called once, before anything connects. Returns factories, each with the SQLAlchemy backend names that it
    serves; a name claimed twice is an error. An exception ends the run before anything is touched.
    """


@hookspec
def ci_migrate_storages() -> Sequence[StorageFactory]:  # type: ignore[empty-body]
    """Places for backups.

    Called once, before anything connects. Returns factories with the URL schemes that they serve; a scheme
    claimed twice is an error. An exception ends the run before anything is touched.
    """


@hookspec
def ci_migrate_checks(settings: Settings) -> Sequence[Check]:  # type: ignore[empty-body]
    """Checks.

    Called once per run. Returns checks, which the core runs sorted by code in the stages `check` (those that
    look at the plan) and `dry-run` (those that look at the evidence). A code claimed twice is an error. A check
    that raises becomes a finding of severity error with its own code.
    """


@hookspec
def ci_migrate_repairs(settings: Settings) -> Sequence[Repair]:  # type: ignore[empty-body]
    """Repairs.

    Called once per run, when a migration failed. Returns repairs, which the core asks in their order whether
    they fit; each is given a RepairContext. A repair that raises where it is asked is left out, and the run says so.
    """


@hookspec
def ci_migrate_reporters() -> Sequence[Reporter]:  # type: ignore[empty-body]
    """Reporters.

    Called once per run. Returns reporters: pure functions of a finished Report. One that raises is a warning;
    the exit code stays what it is.
    """


@hookspec
def ci_migrate_approvals(plan: Plan, settings: Settings) -> Sequence[Approver]:  # type: ignore[empty-body]
    """Approvers.

    Called in the stage `approve` of a production-tagged target. Each approver that any plugin returns is asked;
    a denial wins over every grant; no grant means stop. A plugin's grant alone never replaces the token: it can
    only add a refusal. An exception is a denial.
    """


@hookspec
def ci_migrate_before_stage(stage: str, plan: Plan | None) -> str | None:
    """May veto a stage.

    Called before each stage but `repair`, with the plan as soon as there is one. Returns None, or why not: then
    the stage fails with these words. An exception is a veto.
    """


@hookspec
def ci_migrate_after_stage(result: StageResult, plan: Plan | None) -> Finding | None:
    """Observes a stage.

    Called after each stage that ran. What it returns is added to the report. An exception becomes a warning
    of the report and changes nothing else.
    """


@hookspec
def ci_migrate_mask(connection: Connection, database: str, settings: Settings) -> str | None:
    """Replaces private values of a scratch copy.

    Called on each copy that a dry run makes, once the copy was compared with its backup, and before any code of the
    repository meets it: once for each database, "" for the main one, before the file of the setting `mask`. It works in
    the transaction of a SQLAlchemy connection, which the core commits, and may take its time. It may change values
    alone. Returns what it did, in words, or None where there is nothing for it to do. If it raises, or if the schema or
    the number of rows is another one afterwards, the copy is dropped and the run refused. Only installed plugins are
    asked; one that the setting `plugins` names is refused.
    """


@hookspec
def ci_migrate_fleet(settings: Settings) -> Sequence[str | tuple[str, str]]:  # type: ignore[empty-body]
    """The databases of a fleet.

    Called where the target has `fleet-plugin = true`, before anything connects. Returns URLs, or names with URLs.
    Only installed plugins are asked, not those that the setting `plugins` names. An exception ends the command
    before anything is touched.
    """


@hookspec(firstresult=True)
def ci_migrate_executor(settings: Settings) -> Executor | None:
    """What does the work of a fleet run.

    Called once per fleet run, before anything is migrated, where `fleet-executor` is not "processes". Returns a
    `concurrent.futures.Executor` if `settings.fleet_executor` is the name of one that it has, otherwise None; the
    first one counts, and is shut down when the run ends. It is handed one call for each database, which must not be
    made twice. An attribute `max_workers` says how many calls it makes at a time. Only installed plugins are asked, not
    those that the setting `plugins` names. An exception ends the command before anything is touched.
    """


@hookspec
def ci_migrate_commands(cli: Any) -> None:
    """Adds commands.

    Called when the command line is built for `--help` of plugins' commands or for an unknown command, with the
    click group. An exception is a warning on standard error.
    """

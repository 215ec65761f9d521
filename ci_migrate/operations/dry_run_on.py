"""`dry-run --on`: a scratch copy stands in for the target, which is not reached; empty, or restored from a backup."""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import msgspec
from sqlalchemy import URL, make_url

from ci_migrate import gate
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.fetch import most_unpacked
from ci_migrate.backups.owner import Owner
from ci_migrate.databases.base import Database, SessionOptions, TellsItsPlace
from ci_migrate.databases.composite.database import members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.errors import CiMigrateError, UsageError
from ci_migrate.migrations.environment import ChildEnvironment
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Backup, BackupStatus, Report, StageResult, name_some
from ci_migrate.operations.backups import complete
from ci_migrate.plugins import manager as plugins
from ci_migrate.rehearsal.mask import mask_copy
from ci_migrate.session import GateRequest, copy_as_target, databases_of, new_run_id, open_catalog, target_url
from ci_migrate.settings.kinds import EMBEDDED
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.tempdirs import private_folder
from ci_migrate.verbs import Verb

EMPTY = "empty"
NO_ROWS = (
    "what the revisions lose, lock or rewrite: no row was there. `ci-migrate check --since REF` reads it in their "
    "scripts, `--on backup:latest` has rows"
)


def dry_run_on(
    settings: Settings, request: GateRequest, what: str, interrupt: Interrupt | None = None
) -> Report:
    """The report of a dry run on a database that is empty, or holds a backup.

    Args:
        settings: of the target that is stood in for.
        request: the dry run.
        what: `empty`, `backup:latest` or `backup:ID`.
        interrupt: set by signal handlers.

    Raises:
        UsageError: `what` is none of these, there is no such backup, or it holds some tables only.
        RefusedError: the backup was never finished, or can't be read.
        CiMigrateError: as `gate.run`.
    """
    with stand_in(settings, request.verb, what, interrupt) as (instead, words):
        report = gate.run(instead, request, interrupt)
    results = report.results if what != EMPTY else tuple(map(_without_rows, report.results))
    return msgspec.structs.replace(report, place=words, results=results)


def _without_rows(result: StageResult) -> StageResult:
    """What the rehearsal measured, with what it can't have seen."""
    if result.evidence is None:
        return result
    seen = result.evidence.comparison
    seen = msgspec.structs.replace(seen, not_compared=(*seen.not_compared, NO_ROWS))
    return msgspec.structs.replace(result, evidence=msgspec.structs.replace(result.evidence, comparison=seen))


@contextmanager
def stand_in(
    settings: Settings, verb: Verb, what: str, interrupt: Interrupt | None
) -> Iterator[tuple[Settings, str]]:
    """Settings whose target is the scratch copy, and words for it."""
    catalog = open_catalog(settings)
    backup = _backup(catalog, settings.target, what)
    with ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        run_id = new_run_id()
        options = SessionOptions(
            application_name=f"ci-migrate/{run_id}",
            lock_timeout=settings.harmless_wait,
            client_tools=str(settings.client_tools) if settings.client_tools else None,
            jobs=settings.jobs,
            compare_budget=settings.compare_budget,
        )
        manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
        url = _url(settings, interrupt)
        target, _, copies = databases_of(settings, manager, url, options, verb, stack)
        # an embedded server took over the target's roles; another one may lack them
        if settings.scratch == EMBEDDED:
            copy_as_target(copies, target)
        copy = stack.enter_context(copies.scratch(run_id, folder))
        words = f"an empty {copy.dialect} database"
        if backup is not None:
            if backup.dialect != copy.dialect:
                raise UsageError(f"{backup.backup_id} is of {backup.dialect}, the target is {copy.dialect}.")
            copy.load(stack.enter_context(catalog.reading(backup)), most=most_unpacked(backup))
            # here: env.py meets it before the dry run does
            mask_copy(settings, copy, plugins.masks(manager, settings))
            words = f"a copy of {backup.backup_id}"
        variables = {MAIN: settings.url_variable, **settings.database_variables}
        members = members_of(copy)
        # those that name the target by another login or no setting, too: programs that revisions start read them
        stood_for = members_of(target)
        given = ChildEnvironment(settings, {name: one.url for name, one in stood_for.items()}).for_stage(
            {name: one.url for name, one in members.items()}
        )
        plain = {n: Secret(m.url.render_as_string(hide_password=False)) for n, m in members.items()}
        instead = replace(
            settings,
            url=settings.url if variables[MAIN] else plain[MAIN],
            databases={
                name: value if variables.get(name) else plain[name]
                for name, value in settings.databases.items()
            },
            environ={**settings.environ, **given},
            read_url=None,
            scratch=_scratch(settings, copies, copy),
            mask=None,
            masked=True,
            state=None,
            stage_tags={},  # of the target, which is not reached: there is nobody to approve and nothing to guard
            stands_for={
                name: one.match() for name, one in stood_for.items() if isinstance(one, TellsItsPlace)
            },
            backup_dir=str(folder / "backups"),
            auto_backup=True,
            reuse_backup=0.0,
        )
        yield instead, words


def _scratch(settings: Settings, place: Database, copy: Database) -> str | None:
    """Where the copies of the stand-in live: where it lives itself, if its own account may make none (MySQL)."""
    main = members_of(place)[MAIN].url
    if settings.scratch not in ("server", EMBEDDED):
        return settings.scratch
    if members_of(copy)[MAIN].url.username == main.username:
        return "server"
    return main.render_as_string(hide_password=False)


def _url(settings: Settings, interrupt: Interrupt | None) -> URL:
    """Whose engine it is: the target's, or SQLite where nothing tells."""
    try:
        return target_url(settings, interrupt)
    except CiMigrateError:
        if settings.url is not None:
            raise
        return make_url("sqlite://")


def _backup(catalog: Catalog, target: str, what: str) -> Backup | None:
    kind, _, backup_id = what.partition(":")
    if what == EMPTY:
        return None
    if kind != "backup" or not backup_id:
        raise UsageError(f"--on {what}: it is `empty`, `backup:latest` or `backup:ID`.")
    if backup_id != "latest":
        backup = complete(catalog.get(backup_id))
        if backup.partial:  # a migration is green on tables that are empty because they were left out
            raise UsageError(
                f"{backup_id} holds the rows of {name_some(backup.tables)} alone: it can't stand in for the target.",
                hint=f"ci-migrate backup list --target {target}",
            )
        return backup
    named = Owner(target)  # it may not be reached from here: nobody can ask which database it is
    whole = [b for b in catalog.list(named) if b.status is BackupStatus.SUCCESS and not b.partial]
    if not whole:
        raise UsageError(
            f"There is no backup of {target} yet.",
            hint=f"ci-migrate backup create --target {shlex.quote(target)}",
        )
    return whole[-1]

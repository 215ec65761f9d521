"""Opening a target: URL, database, lock, ledger and workers become a Run, and are given back at the end."""

import secrets as random_secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, make_url

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.provider import Provider
from ci_migrate.databases.base import Database, MakesCopiesOf, SessionOptions, Watch, unwatched
from ci_migrate.databases.composite.database import CompositeDatabase, descriptors, members_of
from ci_migrate.databases.composite.names import MAIN
from ci_migrate.databases.kept_session import KeepsSession
from ci_migrate.databases.own_server import RunsServers
from ci_migrate.errors import DatabaseError, LedgerError, RefusedError, SettingsError, UsageError
from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.migrations.environment import ChildEnvironment, known_reader, known_targets
from ci_migrate.migrations.graph import ask_url
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.lender import Lender
from ci_migrate.migrations.requests import project_setup
from ci_migrate.migrations.runner import Workers
from ci_migrate.model import Direction, NextCommand, StageResult, as_hint
from ci_migrate.plugins import manager as plugins
from ci_migrate.repairs.base import Repair
from ci_migrate.run.begun_restore import settle_restore
from ci_migrate.run.identity import refuse_other_reader
from ci_migrate.run.interpreter import lending
from ci_migrate.run.mark import is_marked, protect_too, refuse_by_mark
from ci_migrate.run.programs import refuse_programs
from ci_migrate.run.run import Run, narrow
from ci_migrate.settings.kinds import EMBEDDED
from ci_migrate.settings.secrets import register_url
from ci_migrate.settings.settings import Secret, Settings
from ci_migrate.tempdirs import private_folder, sweep_folders
from ci_migrate.verbs import Verb

RunT = TypeVar("RunT", bound=Run)


@dataclass(frozen=True)
class GateRequest:
    """What a command asks of the gate, apart from the settings.

    Raises:
        UsageError: the destination is given and empty.
    """

    verb: Verb
    direction: Direction = Direction.UPGRADE
    destination: str | None = None
    token: Secret | None = None
    tell: Callable[[str], None] = field(default=lambda _text: None)
    watch: Watch = unwatched
    forward: bool = False  # repair: run what is left
    accept_foreign: bool = False  # repair: what somebody else changed in the schema stays
    purge: bool = False  # stamp: take all version rows away first
    reason: str = ""  # why; for the audit trail
    by: str = ""  # who runs it, as they say themselves; "" for what the CI or the machine says
    done: Callable[[StageResult], None] = field(default=lambda _result: None)
    request_file: Path | None = None  # where approval-request.json goes
    lender: Lender | None = None  # an interpreter that runs already

    def __post_init__(self) -> None:
        """See the class."""
        # `--to "$REVISION"` where nobody set it: for Alembic "" is no revision, for us it would have been the default
        if self.destination is not None and not self.destination.strip():
            raise UsageError(
                "The destination is empty.", hint="Name a revision: an id, head, base, +1; or leave it out."
            )


def new_run_id() -> str:
    """Short, unique, sorts by time, fit for a database's name."""
    return f"{time.strftime('%Y%m%d%H%M%S', time.gmtime())}_{random_secrets.token_hex(3)}"


@contextmanager
def open_session(
    settings: Settings,
    request: GateRequest,
    interrupt: Interrupt | None = None,
    *,
    ledger: bool | None = None,
    manager: plugins.Manager | None = None,
    asked: URL | None = None,
) -> Iterator[Run]:
    """A Run on the target of these settings: database, lock, ledger, workers; all given back at the end.

    Args:
        settings: for one target.
        request: what is asked.
        interrupt: set by signal handlers.
        ledger: whether to create the ledger; None decides by the verb.
        manager: of the plugins, where the caller needs it too.
        asked: the target's URL as env.py told it, where it was asked already.

    Raises:
        CiMigrateError: something of it can't be had; nothing was touched.
    """
    guarded = request.verb.locks or request.verb.rehearses or request.verb.removes
    if guarded and settings.production:
        refuse_programs(settings)  # before one of them is asked for a URL
    run_id = new_run_id()
    interrupt = interrupt or Interrupt()
    manager = manager or create_manager(settings)
    verb = request.verb
    keeping: list[KeepsSession] = []

    def leave_target() -> None:
        for one in keeping:
            one.end_kept_session()

    catalog = _catalog(settings, manager, before=leave_target)
    if verb.rehearses and settings.auto_backup:
        catalog.encryption.check()  # what can't be read again can't be rehearsed on
    with ExitStack() as stack:
        lender = request.lender
        if lender is None and (verb.starts_children or (asked is None and settings.url is None)):
            lender = stack.enter_context(lending(settings))  # it imports Alembic meanwhile
        url = asked or target_url(settings, interrupt, lender)
        options = session_options(settings, run_id)
        database, reader, copies = databases_of(settings, manager, url, options, verb, stack)
        # without a ledger: it may wait for hours, in each of many pods
        read = (database, reader) if verb.opens_ledger else ()
        for member in {id(one): one for found in read for one in members_of(found).values()}.values():
            if isinstance(member, KeepsSession):
                stack.enter_context(member.keep_session())
                keeping.append(member)
        if verb.needs_target:
            database.ping()
            copy_as_target(copies, database)
        lock = stack.enter_context(database.lock(run_id, settings.run_lock_timeout)) if verb.locks else None
        reader_url = reader.url if settings.read_url is not None else None
        workers = stack.enter_context(
            Workers(launch(settings, descriptors(lock), database, reader_url), interrupt, lender)
        )
        create = verb.creates_ledger if ledger is None else ledger
        if verb.writes and create and verb.needs_target and is_marked(database):
            create = False  # it has one: another would be that of an alias
        book = (
            open_ledger(ledger_url(url, settings.resolve_state()), create=create)
            if verb.opens_ledger
            else None
        )
        if book is not None:
            stack.enter_context(book)
            _settle_restore(book, database, run_id, request, locked=lock is not None)
        _refuse_ways_around(verb, settings, url, database, reader, book)
        found = protection.read(book)
        if guarded and not settings.production and found.protected:
            refuse_programs(settings)
        sweep_folders()
        folder = stack.enter_context(private_folder())
        if verb.locks:
            database.sweep()
        run = Run(
            id=run_id,
            subject=run_id,
            verb=verb,
            settings=settings,
            direction=request.direction,
            destination=request.destination or settings.to,
            database=database,
            reader=reader,
            copies=copies,
            workers=workers,
            interrupt=interrupt,
            scratch_folder=folder,
            catalog=catalog,
            ledger=book,
            protection=found,
            lock=lock,
            token=request.token,
            tell=request.tell,
            watch=request.watch,
            open_storage=lambda place: plugins.make_storage(manager, place, settings.project_dir),
            open_database=lambda clone: plugins.make_database(
                manager, clone, replace(options, application_name=f"clone/{run_id}")
            ),
            forward=request.forward,
            accept_foreign=request.accept_foreign,
            purge=request.purge,
        )
        yield narrow(run)


def create_manager(settings: Settings) -> plugins.Manager:
    """The plugins that are installed; those that the repository names are imported later, by `load_extensions`."""
    return plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout, later=True)


def session_options(settings: Settings, run_id: str) -> SessionOptions:
    """How the parent's own sessions are opened."""
    return SessionOptions(
        application_name=f"ci-migrate/{run_id}",
        lock_timeout=settings.harmless_wait,
        statement_timeout=settings.statement_timeout,
        client_tools=str(settings.client_tools) if settings.client_tools else None,
        jobs=settings.jobs,
        compare_budget=settings.compare_budget,
    )


def load_extensions(run: RunT, manager: plugins.Manager) -> RunT:
    """The run with checks, repairs and approvers of all plugins, those of the repository from now on among them.

    Raises:
        SettingsError, UsageError: a plugin can't be imported, or returns what does not fit.
    """
    manager.looked = True
    manager.load_named()
    plugins.refuse_claimed_twice(manager)
    settings = run.settings
    return replace(
        run,
        checks=plugins.unique(plugins.collect(manager, "ci_migrate_checks", settings=settings), "code"),
        repairs=plugins.unique(
            plugins.collect(manager, "ci_migrate_repairs", settings=settings), "name", Repair
        ),
        approvers=lambda plan: plugins.collect(manager, "ci_migrate_approvals", plan=plan, settings=settings),
        masks=plugins.masks(manager, settings),
    )


def databases_of(
    settings: Settings,
    manager: plugins.Manager,
    url: URL,
    options: SessionOptions,
    verb: Verb,
    stack: ExitStack,
) -> tuple[Database, Database, Database]:
    """The target, the target as it is read, and the database on whose server scratch copies live.

    A server of our own for these runs until the stack is left.
    """

    def made(text: str) -> Database:
        return plugins.make_database(manager, make_url(text), options)

    main = plugins.make_database(manager, url, options)
    refuse_unknown_host(settings, main)
    if settings.databases and settings.provider == "command":
        raise SettingsError(
            'provider = "command" backs up one database, and `databases` names others.',
            hint="Take the provider out, or give each database a target of its own (docs/several-databases.md).",
        )
    others = {name: made(text) for name, text in settings.resolve_databases().items()}
    database = with_others(main, others)
    reader = copies = database
    if settings.read_url is not None:
        reader = with_others(made(settings.resolve_read_url()), others)
    if database.capabilities.scratch_on_server and verb.rehearses:
        scratch = settings.resolve_scratch_url()
        if settings.scratch == EMBEDDED:
            main.ping()
            if not isinstance(main, RunsServers):
                raise SettingsError(f'scratch = "{EMBEDDED}": there is no such server for {main.dialect}.')
            scratch = stack.enter_context(main.new_server()).render_as_string(hide_password=False)
        if scratch is not None:
            place = made(scratch)
            if place.dialect != main.dialect:
                raise SettingsError(f"scratch is a {place.dialect} server, the target is {main.dialect}.")
            place.ping()
            copies = with_others(place, dict.fromkeys(others, place))
    return database, reader, copies


def copy_as_target(copies: Database, target: Database) -> None:
    """Have scratch copies on another server made as the role that migrates the target makes things there."""
    place, main = members_of(copies)[MAIN], members_of(target)[MAIN]
    if place is not main and isinstance(place, MakesCopiesOf):
        place.make_copies_of(main)


def with_others(main: Database, others: Mapping[str, Database]) -> Database:
    """The main database and those that the setting `databases` names, as one; itself where there are none."""
    return CompositeDatabase({MAIN: main, **others}) if others else main


def open_catalog(settings: Settings, place: str | None = None) -> Catalog:
    """The backups alone, in `backup-dir` or another place: neither the target nor its ledger is needed for it."""
    return _catalog(settings, create_manager(settings), place)


def _catalog(
    settings: Settings,
    manager: plugins.Manager,
    place: str | None = None,
    before: Callable[[], None] = lambda: None,
) -> Catalog:
    here, called = (place, "URL") if place else (settings.backup_dir, "backup-dir")
    return Catalog(
        plugins.make_storage(manager, here, settings.project_dir, called),
        Encryption(settings.backup_recipients, settings.resolve_backup_identity),
        Provider(
            create=settings.provider_create,
            restore=settings.provider_restore,
            delete=settings.provider_delete,
            clone=settings.provider_clone,
            drop=settings.provider_drop,
            before=before,
            directory=settings.project_dir,
            environ=ChildEnvironment(settings, known_targets(settings), known_reader(settings)).for_tools(),
        ),
        takes=settings.provider == "command",
    )


def target_url(settings: Settings, interrupt: Interrupt | None = None, lender: Lender | None = None) -> URL:
    """The target's URL: from the settings, or asked of env.py (its connection is refused)."""
    if settings.fleet_key and not settings.member:
        raise UsageError(
            f"Target {settings.target} is a fleet of many databases ({settings.fleet_key}).",
            hint=f"One of them: --target {settings.target}/NAME; all: ci-migrate fleet status --target "
            f"{settings.target}",
        )
    if settings.url is not None:
        return make_url(settings.resolve_url())
    with Workers(launch(settings), interrupt, lender) as workers:
        url = ask_url(workers, project_setup(settings, Direction.UPGRADE, settings.to))
    register_url(url.render_as_string(hide_password=False))
    return url


def _settle_restore(
    book: Ledger, database: Database, run_id: str, request: GateRequest, *, locked: bool
) -> None:
    """As `settle_restore`; a target that is down says nothing, and some verbs are for that very case."""
    try:
        settle_restore(book, database, run_id, locked=locked, tell=request.tell)
    except DatabaseError:
        if request.verb.needs_target:
            raise


def _refuse_ways_around(
    verb: Verb, settings: Settings, url: URL, database: Database, reader: Database, book: Ledger | None
) -> None:
    """Raise RefusedError where something protects the target and this way would lead past it.

    In this order: what the database itself says; a reader of another database; the ledger beside the target where
    `state` names another one; one of several databases that is protected.
    """
    if verb.writes or verb.removes:
        _refuse_by_mark(database, book, settings, verb)
    if reader is not database and (verb.locks or verb.starts_children):
        refuse_other_reader(database, reader, book)
    if verb.locks or verb.removes:
        _refuse_hidden_protection(url, settings)
        _refuse_protected_members(database, book, settings.target)


def _refuse_by_mark(database: Database, book: Ledger | None, settings: Settings, verb: Verb) -> None:
    """As `refuse_by_mark`; a target that is down says nothing, and some verbs are for that very case."""
    try:
        refuse_by_mark(database, book, settings.target)
    except DatabaseError:
        if verb.needs_target:
            raise


def _refuse_hidden_protection(url: URL, settings: Settings) -> None:
    """Raise RefusedError where `state` leads away from a ledger beside the target that says it is protected.

    The repository's author can write `state`. A ledger that is meant to be elsewhere has no protected one beside it.
    """
    if settings.state is None:
        return
    try:
        beside = ledger_url(url, None)
    except LedgerError:  # an engine whose ledger is always elsewhere
        return
    if beside == ledger_url(url, settings.resolve_state()):
        return
    book = open_ledger(beside, create=False)
    if book is None:
        return
    with book:
        if protection.read(book).protected:
            raise RefusedError(
                f"The ledger beside the target ({book.place}) says that it is protected; "
                f"state ({settings.sources['state']}) names another one.",
                hint=as_hint(
                    NextCommand(
                        command=f"ci-migrate unprotect --target {settings.target}",
                        why="first, while `state` is taken out of the settings",
                    )
                ),
            )


def _refuse_protected_members(database: Database, book: Ledger | None, target: str) -> None:
    """Raise RefusedError where one of `databases` is protected by a ledger of its own, and the target is not.

    The repository's author writes `databases`: a protected one must not be reached by way of a target that is free.
    """
    if book is not None and protection.read(book).protected:
        return
    for name, member in members_of(database).items():
        beside = open_ledger(ledger_url(member.url, None), create=False) if name else None
        if beside is None:
            continue
        with beside:
            if protection.read(beside).protected:
                raise RefusedError(
                    f"databases.{name} ({member.identity().place}) is protected, and this target is not.",
                    hint=protect_too(target),
                )


def refuse_unknown_host(settings: Settings, database: Database) -> None:
    """Without settings only files and this machine's own servers are migrated.

    Raises:
        RefusedError: the URL came from env.py and names another host.
    """
    if settings.url is not None or not database.capabilities.remote:
        return
    host = database.url.host or ""
    if host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/"):
        return
    raise RefusedError(
        f"env.py connects to host {host}, and no settings say what that database is.",
        hint='Define a target: [tool.ci-migrate.targets.NAME] url = "env:DATABASE_URL", tags = [...]',
    )

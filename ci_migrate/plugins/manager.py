"""The plugin manager: built-ins, then installed distributions, then the setting `plugins`.

What the setting names is the repository's: where a token guards the target, it is imported after that was looked at.
"""

import copy
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pluggy
from sqlalchemy import Connection

from ci_migrate import backups, checks, databases, repairs
from ci_migrate.backups.storage import Storage, StorageFactory, open_storage
from ci_migrate.checks.functions import FunctionChecks, function_checks
from ci_migrate.databases.base import Database, DatabaseFactory, SessionOptions
from ci_migrate.errors import CiMigrateError, SettingsError, UsageError
from ci_migrate.markers import PROJECT_NAME
from ci_migrate.model import Finding, Plan, Severity, StageResult
from ci_migrate.plugins import executors, hookspecs
from ci_migrate.reports import built_in
from ci_migrate.settings.kinds import plugin_name
from ci_migrate.settings.settings import Settings
from ci_migrate.timeouts import HOOK_TIMEOUT, call_with_timeout

BUILT_IN: tuple[ModuleType, ...] = (databases, backups, checks, repairs, built_in, executors)
"""Registered by the same hooks as anybody's."""

BUILT_IN_PREFIX = "built-in "
"""How their names begin."""


class _SourceLoader(SourceFileLoader):
    """Compiles what the file says now: no bytecode of before, and asserts also where Python was told to leave them out.

    A check whose asserts are gone would pass whatever it finds.
    """

    def get_code(self, fullname: str) -> CodeType:
        """The code of the file."""
        path = self.get_filename(fullname)
        return compile(self.get_data(path), path, "exec", dont_inherit=True, optimize=0)


class Manager(pluggy.PluginManager):
    """pluggy's, with the seconds that a hook may take, and the distributions that plugins were installed with.

    The plugins that the settings name may be imported later (`load_named`).

    `looked` is set once the token was looked at. `early` says that they were needed before, for an engine or a storage.
    """

    def __init__(self, named: Sequence[str], folder: Path, hook_timeout: float) -> None:
        super().__init__(PROJECT_NAME)
        self.hook_timeout = hook_timeout
        self.distributions: dict[str, str] = {}
        self.looked = False
        self.early = False
        self._named = list(named)
        self._folder = folder

    def load_named(self) -> bool:
        """Import what the setting `plugins` names; whether there was something left to import.

        Raises:
            SettingsError: a plugin can't be imported, or does not fit.
        """
        named, self._named = self._named, []
        for name in (plugin_name(plugin, self._folder) for plugin in named):
            if name in self.distributions:
                raise _two_plugins(name, self.distributions[name])
            if self.has_plugin(name):
                raise SettingsError(
                    f"Plugin {name} is named twice.", hint="Correct `plugins` in the settings."
                )
            module = _load(name, self._folder)
            _register(self, module, name)
            functions = function_checks(module, name, self._folder)
            if functions:
                self.register(FunctionChecks(functions, module.__file__), name=f"functions of {name}")
        self.early = self.early or (bool(named) and not self.looked)
        _check(self)
        return bool(named)

    def ask(self, implementation: pluggy.HookImpl, arguments: Mapping[str, Any]) -> Any:
        """What one implementation of a hook returns.

        It gets copies: there are dicts within the nouns and the settings, and what a hook changes in them must not
        change what others decide by. click's group is there to be changed.

        Raises:
            BaseException: what it raised; TimeoutError where it took too long.
        """
        copies = {
            n: arguments[n] if n == "cli" else copy.deepcopy(arguments[n]) for n in implementation.argnames
        }
        return call_with_timeout(lambda: implementation.function(**copies), self.hook_timeout)


def create_manager(
    plugins: Sequence[str], folder: Path, hook_timeout: float = HOOK_TIMEOUT, *, later: bool = False
) -> Manager:
    """A manager with all plugins registered.

    Args:
        plugins: module names or files (`checks.py`, relative to `folder`) from the settings.
        folder: the project.
        hook_timeout: seconds that each call of a hook may take.
        later: leave those of the settings to `Manager.load_named`.

    Raises:
        SettingsError: a plugin can't be imported.
    """
    manager = Manager(plugins, folder, hook_timeout)
    manager.add_hookspecs(hookspecs)
    for module in BUILT_IN:
        manager.register(module, name=f"{BUILT_IN_PREFIX}{module.__name__.rpartition('.')[2]}")
    # sorted: the order of the file system is none that two machines share
    for entry in sorted(entry_points(group=PROJECT_NAME), key=lambda e: e.name):
        _register_installed(manager, entry)
    _check(manager)
    if not later:
        manager.load_named()
    return manager


def _check(manager: Manager) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise SettingsError(f"A plugin does not fit: {error}.") from error
    for hook in (getattr(manager.hook, name) for name in dir(hookspecs) if name.startswith("ci_migrate_")):
        for implementation in hook.get_hookimpls():
            if implementation.wrapper or implementation.hookwrapper:
                raise SettingsError(
                    f"Plugin {implementation.plugin_name} wraps the hook {hook.name}: each plugin is asked by itself, "
                    "so there is no call to wrap.",
                    hint="Write it as a plain @hookimpl; ci_migrate_after_stage sees what a stage did.",
                )


def _register_installed(manager: Manager, entry: EntryPoint) -> None:
    """As pluggy's own loader, which does not say whose plugin can't be imported."""
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "?"
    if manager.has_plugin(entry.name):
        raise _two_plugins(entry.name, origin)
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:
        raise SettingsError(
            f"Plugin {entry.name} of {origin} can't be imported: {type(error).__name__}: {error}.",
            hint="Uninstall or mend it.",
        ) from error
    _register(manager, plugin, entry.name)
    manager.distributions[entry.name] = origin


def _two_plugins(name: str, origin: str) -> SettingsError:
    return SettingsError(
        f"There are two plugins {name}; one is installed with {origin}.",
        hint="Uninstall it, or leave the other one out of `plugins`.",
    )


def _register(manager: pluggy.PluginManager, plugin: ModuleType, name: str) -> None:
    try:
        manager.register(plugin, name=name)
    except (ValueError, pluggy.PluginValidationError) as error:
        raise SettingsError(
            f"Plugin {name} does not fit: {' '.join(str(error).split())}.",
            hint="The hooks and their arguments: ci-migrate plugins",
        ) from error


def _load(name: str, folder: Path) -> ModuleType:
    try:
        if not name.endswith(".py"):
            return importlib.import_module(name)
        path = folder / name
        module_name = f"ci_migrate_plugin_{path.stem}"
        spec = importlib.util.spec_from_loader(module_name, _SourceLoader(module_name, str(path)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # dataclasses, msgspec and typing look there for what annotations name
        sys.modules[module_name] = module
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a plugin may raise anything when it is imported
        raise SettingsError(
            f"Plugin {name} can't be imported: {type(error).__name__}: {error}.",
            hint="Correct `plugins` in the settings.",
        ) from error
    return module


def collect(manager: Manager, hook: str, **arguments: Any) -> list[Any]:
    """What all plugins return from a hook that gives a list, as one list.

    Raises:
        UsageError: a plugin raised, or returned no list; nothing was touched by then.
    """
    return [item for item, _ in ask_all(manager, hook, **arguments)]


def ask_all(manager: Manager, hook: str, **arguments: Any) -> list[tuple[Any, str]]:
    """As `collect`, each with the name of its plugin."""
    found: list[tuple[Any, str]] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            # within the try: a generator raises only when it is read
            items = list(manager.ask(implementation, arguments) or ())
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"Plugin {implementation.plugin_name} failed in {hook}: {type(error).__name__}: {error}.",
                hint="Mend it, or leave it out of `plugins`.",
            ) from error
        found += [(item, implementation.plugin_name) for item in items]
    return found


def ask_first(manager: Manager, hook: str, **arguments: Any) -> Any:
    """What the first plugin returns that returns something, the built-ins last; None where none does.

    Raises:
        UsageError: a plugin raised; nothing was touched by then.
        CiMigrateError: one that a plugin raised.
    """
    for implementation in reversed(getattr(manager.hook, hook).get_hookimpls()):
        try:
            found = manager.ask(implementation, arguments)
        except CiMigrateError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"Plugin {implementation.plugin_name} failed in {hook}: {type(error).__name__}: {error}.",
                hint="Mend it, or leave it out of `plugins`.",
            ) from error
        if found is not None:
            return found
    return None


def masks(manager: Manager, settings: Settings) -> dict[str, Callable[[Connection, str], Any]]:
    """What masks the values of scratch copies, by the plugins' names; {} where the target is a masked copy itself.

    Raises:
        SettingsError: a plugin of the repository would: it would meet what it is to hide.
    """
    found: dict[str, Callable[[Connection, str], Any]] = {}
    for implementation in manager.hook.ci_migrate_mask.get_hookimpls():
        if implementation.plugin_name not in manager.distributions:
            raise SettingsError(
                f"Plugin {implementation.plugin_name} has the hook ci_migrate_mask, and the settings name it: code of "
                "the repository would meet the values that it is to hide.",
                hint="Install it as a distribution with the entry point group ci_migrate, and take it out of "
                '`plugins`; or write a file of SQL: mask = "mask.sql".',
            )
        found[implementation.plugin_name] = partial(_mask, implementation, copy.deepcopy(settings))
    return {} if settings.masked else found


def _mask(implementation: pluggy.HookImpl, settings: Settings, connection: Connection, database: str) -> Any:
    """Not in a thread of its own, as other hooks: some drivers forbid it, and many rows take their time."""
    given = {"connection": connection, "database": database, "settings": settings}
    return implementation.function(**{name: given[name] for name in implementation.argnames})


def make_database(manager: Manager, url: Any, options: SessionOptions) -> Database:
    """The Database for a URL.

    Raises:
        UsageError: no plugin serves this backend, or two do.
    """
    backend = url.get_backend_name()
    factories: list[DatabaseFactory] = collect(manager, "ci_migrate_databases")
    if not any(backend in f.backends for f in factories) and manager.load_named():
        factories = collect(manager, "ci_migrate_databases")
    fitting = [f for f in factories if backend in f.backends]
    if len(fitting) > 1:
        raise UsageError(
            f"Two plugins claim the database {backend}.", hint="Leave one of them out of `plugins`."
        )
    if not fitting:
        known = ", ".join(sorted(b for f in factories for b in f.backends))
        raise UsageError(f"Databases of the kind {backend} are not supported.", hint=f"There are: {known}.")
    return fitting[0].make(url, options)


def refuse_claimed_twice(manager: Manager) -> None:
    """Raise UsageError where two plugins claim an engine or a storage, whether this run needs it or not."""
    for hook, field, what in (
        ("ci_migrate_databases", "backends", "the database"),
        ("ci_migrate_storages", "schemes", "storages of the scheme"),
    ):
        claimed = [name for factory in collect(manager, hook) for name in getattr(factory, field)]
        twice = next((name for name in claimed if claimed.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"Two plugins claim {what} {twice}.", hint="Leave one of them out of `plugins`.")


def make_storage(manager: Manager, place: str, folder: Path, called: str = "backup-dir") -> Storage:
    """The storage of a place; arguments and errors are those of `open_storage`."""
    factories: list[StorageFactory] = collect(manager, "ci_migrate_storages")
    scheme = place.partition("://")[0]
    if "://" in place and not any(scheme in f.schemes for f in factories) and manager.load_named():
        factories = collect(manager, "ci_migrate_storages")
    return open_storage(place, folder, factories, called=called)


def unique(items: Iterable[Any], key: str, kind: type = object) -> list[Any]:
    """The items, sorted by a key that no two of them may share. Raises UsageError; also for one of another kind."""
    found: dict[str, Any] = {}
    for item in items:
        value = getattr(item, key, None)
        if not isinstance(value, str) or not isinstance(item, kind):
            lacks = f"has no {key}" if not isinstance(value, str) else f"is no {kind.__name__}"
            raise UsageError(
                f"A plugin returned {item!r:.100}, which {lacks}.", hint="Leave it out of `plugins`."
            )
        if value in found:
            raise UsageError(f"Two plugins claim {key} {value}.", hint="Leave one of them out of `plugins`.")
        found[value] = item
    return [found[value] for value in sorted(found)]


def ask_before(manager: Manager, stage: str, plan: Plan | None) -> str | None:
    """The first veto against a stage; a plugin that raises vetoes."""
    for implementation in manager.hook.ci_migrate_before_stage.get_hookimpls():
        try:
            words = manager.ask(implementation, {"stage": stage, "plan": plan})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a veto, see the hook
            words = f"{type(error).__name__}: {error}"
        if words:
            return f"Plugin {implementation.plugin_name} says no to {stage}: {words}"
    return None


def show_after(manager: Manager, result: StageResult, plan: Plan | None) -> list[Finding]:
    """What observers add; one that raises becomes a finding and changes nothing else."""
    findings: list[Finding] = []
    for implementation in manager.hook.ci_migrate_after_stage.get_hookimpls():
        try:
            finding = manager.ask(implementation, {"result": result, "plan": plan})
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer spoils only itself
            finding = _observer_failed(
                implementation.plugin_name, result.stage, f"{type(error).__name__}: {error}"
            )
        if isinstance(finding, Finding):
            findings.append(finding)
        elif finding is not None:
            words = f"it returned {finding!r:.100}, not a Finding"
            findings.append(_observer_failed(implementation.plugin_name, result.stage, words))
    return findings


def _observer_failed(plugin: str, stage: str, words: str) -> Finding:
    return Finding(
        code="CM901",
        name="observer-failed",
        severity=Severity.WARNING,
        message=f"Plugin {plugin} failed after {stage}: {words}",
    )

"""What plugins there are, where they come from, and what each of them adds: for `ci-migrate plugins`."""

import inspect
from typing import Any

from ci_migrate.model import Frozen
from ci_migrate.plugins import hookspecs
from ci_migrate.plugins.manager import BUILT_IN_PREFIX, Manager, ask_all, unique
from ci_migrate.settings.settings import Settings


class Plugin(Frozen, frozen=True, kw_only=True):
    """One plugin. `origin`: "built in", "settings" or "installed"; `place` is its file or distribution."""

    name: str
    origin: str
    place: str


class Hook(Frozen, frozen=True, kw_only=True):
    """One hook, what it is called with, and the plugins that implement it."""

    name: str
    parameters: tuple[str, ...]
    plugins: tuple[str, ...]


class Addition(Frozen, frozen=True, kw_only=True):
    """What a plugin adds. `kind`: "check", "reporter", "repair", "database", "storage"; `name` is what it is called by.

    `words`: of a check severity, name and what it looks at; of a reporter its file.
    """

    kind: str
    name: str
    words: str
    plugin: str


class PluginList(Frozen, frozen=True, kw_only=True):
    """All of it."""

    plugins: tuple[Plugin, ...]
    hooks: tuple[Hook, ...]
    additions: tuple[Addition, ...]


def plugin_list(manager: Manager, settings: Settings) -> PluginList:
    """Ask each plugin what it adds. Approvers and commands are not asked for: they want a plan, a command line.

    Raises:
        UsageError: a plugin raised, returned something of no use, or claims a code that is taken.
    """
    hooks = [_hook(manager, n) for n in sorted(dir(hookspecs)) if n.startswith("ci_migrate_")]
    additions = [
        Addition(kind=kind, name=name, words=words, plugin=plugin)
        for kind, found in (
            ("check", _checks(manager, settings)),
            ("reporter", [(r.format, r.file, p) for r, p in ask_all(manager, "ci_migrate_reporters")]),
            (
                "repair",
                [(r.name, "", p) for r, p in ask_all(manager, "ci_migrate_repairs", settings=settings)],
            ),
            (
                "database",
                [(b, "", p) for f, p in ask_all(manager, "ci_migrate_databases") for b in f.backends],
            ),
            ("storage", [(s, "", p) for s, p in _schemes(manager)]),
        )
        for name, words, plugin in found
    ]
    plugins = [_plugin(manager, name, plugin) for name, plugin in manager.list_name_plugin()]
    return PluginList(plugins=tuple(plugins), hooks=tuple(hooks), additions=tuple(additions))


def _hook(manager: Manager, name: str) -> Hook:
    return Hook(
        name=name,
        parameters=tuple(inspect.signature(getattr(hookspecs, name)).parameters),
        plugins=tuple(sorted(i.plugin_name for i in getattr(manager.hook, name).get_hookimpls())),
    )


def _plugin(manager: Manager, name: str, plugin: Any) -> Plugin:
    if name in manager.distributions:
        return Plugin(name=name, origin="installed", place=manager.distributions[name])
    if name.startswith(BUILT_IN_PREFIX):
        return Plugin(name=name, origin="built in", place="")
    return Plugin(name=name, origin="settings", place=getattr(plugin, "__file__", None) or "")


def _checks(manager: Manager, settings: Settings) -> list[tuple[str, str, str]]:
    found = ask_all(manager, "ci_migrate_checks", settings=settings)
    plugin_of = {id(check): plugin for check, plugin in found}
    return [
        (c.code, f"{c.severity.value:<8} {c.name} ({_looks_at(c)})", plugin_of[id(c)])
        for c in unique((check for check, _ in found), "code")
    ]


def _schemes(manager: Manager) -> list[tuple[str, str]]:
    found = ask_all(manager, "ci_migrate_storages")
    return [(scheme or "a folder", plugin) for factory, plugin in found for scheme in factory.schemes]


def _looks_at(check: Any) -> str:
    if check.copies:
        return " and ".join(sorted(check.copies, reverse=True))
    return "evidence" if check.measured else "plan"

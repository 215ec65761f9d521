"""`ci-migrate plugins`."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.plugins import manager as plugins
from ci_migrate.plugins.listing import PluginList, plugin_list


@click.command("plugins")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Show all hooks and who implements them, and the plugins, where they come from, and what each adds."""
    settings = settings_of(environment, options)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
        found = plugin_list(manager, settings)
    if as_json:
        say_json(found)
    for line in () if as_json else _lines(found):
        say(line.rstrip())
    return 0


def _lines(found: PluginList) -> Iterator[str]:
    for hook in found.hooks:
        yield f"{hook.name:<24} {', '.join(hook.plugins) or '-'}"
    yield ""
    for plugin in found.plugins:
        if plugin.origin != "built in":
            yield f"{plugin.name:<24} {plugin.origin:<10} {plugin.place}"
    for kind in dict.fromkeys(a.kind for a in found.additions):
        yield f"\n{kind}s"
        these = [a for a in found.additions if a.kind == kind]
        name, words = max(len(a.name) for a in these), max(len(a.words) for a in these)
        for a in these:
            yield f"{a.name:<{name}}  {a.words:<{words}}{'  ' if words else ''}{a.plugin}"

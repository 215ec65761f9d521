"""`ci-migrate plugins`."""

from typing import Any

import click

from ci_migrate import hookspecs, plugins
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options


@click.command("plugins")
@settings_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """All hooks and who implements them, then the checks."""
    settings = settings_of(environment, options)
    manager = plugins.create_manager(settings.plugins, settings.project_dir, settings.hook_timeout)
    for name in sorted(n for n in dir(hookspecs) if n.startswith("ci_migrate_")):
        found = [i.plugin_name for i in getattr(manager.hook, name).get_hookimpls()]
        click.echo(f"{name:<24} {', '.join(sorted(found)) or '-'}")
    click.echo("")
    for check in plugins.unique(plugins.collected(manager, "ci_migrate_checks", settings=settings), "code"):
        click.echo(f"{check.code}  {check.severity.value:<8} {check.name}")
    return 0

"""`ci-migrate fleet request`."""

from typing import Any

import click

from ci_migrate.approval.many_request import describe_many
from ci_migrate.approval.request import write_request
from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORTS, settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.fleet.approvals import FILE_NAME, ask_for_many


@click.command("request")
@click.argument("fleet_run", required=False)
@settings_options
@click.pass_obj
def command(environment: Environment, /, fleet_run: str | None, **options: Any) -> int:
    """Write one approval request for all databases that a fleet run has rehearsed and that wait for an approval.

    Those with the same heads, schema, statements, findings and inputs go together; the others are left out and named.
    Without FLEET_RUN of the last run. Reaches no database of the fleet.
    """
    settings = settings_of(environment, options)
    request = ask_for_many(settings, fleet_run)
    path = write_request(request, settings.project_dir / REPORTS / FILE_NAME)
    for line in describe_many(request):
        say(line)
    shown = path.relative_to(settings.project_dir)
    say(f"next: ci-migrate approve {shown} --key KEY --reason 'why'")
    say(f"      ci-migrate fleet run --target {settings.target} --token-file FILE")
    return 0

"""`ci-migrate audit verify`."""

from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.ledger.tamper import find_tampering
from ci_migrate.model import plural
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("verify")
@settings_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Find altered, missing and reordered records, and tables that differ from the trail. 1 if there are."""
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["audit verify"]), environment.interrupt) as run:
        wrong = find_tampering(run.ledger) if run.ledger is not None else []
        count = len(run.ledger.audit_records(10**9)) if run.ledger is not None else 0
    for words in wrong:
        say(words)
    if not wrong:
        say(f"{plural(count, 'record')}, all in order.")
    return 1 if wrong else 0

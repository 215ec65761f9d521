"""`ci-migrate audit show|verify|export`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.errors import UsageError
from ci_migrate.reports.story import plural
from ci_migrate.session import GateRequest, open_session


@click.group("audit")
def command() -> None:
    """The audit trail: each record carries the hash of the one before."""


@command.command("show")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 1_000_000), help="How many records."
)
@settings_options
@click.pass_obj
def show(environment: Environment, /, limit: int, **options: Any) -> int:
    """The records, one JSON object a line."""
    with open_session(settings_of(environment, options), GateRequest("audit"), environment.interrupt) as (
        run,
        _,
    ):
        for record in run.ledger.audit_records(limit) if run.ledger is not None else ():
            click.echo(msgspec.json.encode(record).decode())
    return 0


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@settings_options
@click.pass_obj
def export(environment: Environment, /, file: Path, **options: Any) -> int:
    """Write the whole trail to FILE, one JSON object a line; - for standard output. Keep it elsewhere.

    A trail that is broken is exported all the same, and the exit code is 1.
    """
    with open_session(settings_of(environment, options), GateRequest("audit"), environment.interrupt) as (
        run,
        _,
    ):
        records = run.ledger.audit_records(10**9) if run.ledger is not None else ()
        wrong = run.ledger.verify_audit() if run.ledger is not None else []
    try:
        with click.open_file(str(file if str(file) == "-" else environment.directory / file), "w") as out:
            for record in records:
                out.write(msgspec.json.encode(record).decode() + "\n")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from error
    for words in wrong:
        click.echo(words, err=True)
    return 1 if wrong else 0


@command.command("verify")
@settings_options
@click.pass_obj
def verify(environment: Environment, /, **options: Any) -> int:
    """Find altered, missing and reordered records: 0 none, 1 some."""
    with open_session(settings_of(environment, options), GateRequest("audit"), environment.interrupt) as (
        run,
        _,
    ):
        wrong = run.ledger.verify_audit() if run.ledger is not None else []
        count = len(run.ledger.audit_records(10**9)) if run.ledger is not None else 0
    for words in wrong:
        click.echo(words)
    if not wrong:
        click.echo(f"{plural(count, 'record')}, all in order.")
    return 1 if wrong else 0

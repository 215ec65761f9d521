"""`ci-migrate audit export`."""

from pathlib import Path
from typing import Any

import click
import msgspec

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say
from ci_migrate.errors import UsageError
from ci_migrate.ledger.tamper import find_tampering
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS


@click.command("export")
@click.argument("file", type=click.Path(path_type=Path))
@settings_options
@click.pass_obj
def command(environment: Environment, /, file: Path, **options: Any) -> int:
    """Write the whole trail to FILE, one JSON object a line; - for standard output. Keep it elsewhere.

    A broken trail is exported too; then the exit code is 1.
    """
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["audit export"]), environment.interrupt) as run:
        records = run.ledger.audit_records(10**9) if run.ledger is not None else ()
        wrong = find_tampering(run.ledger) if run.ledger is not None else []
    try:
        with click.open_file(str(file if str(file) == "-" else environment.directory / file), "w") as out:
            for record in records:
                out.write(msgspec.json.encode(record).decode() + "\n")
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from error
    for words in wrong:
        say(words, err=True)
    return 1 if wrong else 0

"""`ci-migrate serve work`: what `ci-migrate serve` starts for each piece of work."""

import contextlib
import sys

import click
import msgspec

from ci_migrate.commands.environment import Environment


@click.command("work", hidden=True)
@click.pass_obj
def command(environment: Environment) -> int:
    """One piece of work of a service: told on standard input, answered on standard output."""
    from ci_migrate.server.work import Work, perform

    environment.listen()
    told = msgspec.json.decode(sys.stdin.buffer.read(), type=Work)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no answer
        answer = perform(told, environment.directory, environment.environ, environment.interrupt)
    with contextlib.suppress(OSError):  # the service may be gone; the ledger knows how the job ended
        sys.stdout.buffer.write(msgspec.json.encode(answer))
        sys.stdout.flush()
    return 0

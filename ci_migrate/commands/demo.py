"""`ci-migrate demo`."""

import runpy
import sys
from pathlib import Path

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say
from ci_migrate.errors import RefusedError, UsageError

PACKAGED = Path(__file__).parents[1] / "bookshop"
IN_A_CHECKOUT = Path(__file__).parents[2] / "examples" / "bookshop"


@click.command("demo")
@click.argument("folder", default="ci-migrate-demo")
@click.pass_obj
def command(environment: Environment, /, folder: str) -> int:
    """Take a bookshop through the gate, in a new FOLDER: passed, refused, killed and repaired, approved."""
    place = (environment.directory / folder).resolve()
    if place.exists():
        raise RefusedError(f"{place} is there already.", hint="Name a new folder: ci-migrate demo FOLDER")
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{place} can't be made: {error.strerror}.") from error
    example = PACKAGED if PACKAGED.is_dir() else IN_A_CHECKOUT
    # demo.py is a script of its own, which people also start without ci-migrate
    sys.argv = ["demo.py", str(place)]
    runpy.run_path(str(example / "demo.py"), run_name="__main__")
    say(f"\nAll of it stays in {place}: look around, and try `ci-migrate history --target dev` there.")
    return 0

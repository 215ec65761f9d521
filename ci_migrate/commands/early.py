"""Pipeline commands import for half a second, and so does the project's interpreter: the two go on side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import REPORT_OPTIONS, given_flags
from ci_migrate.errors import CiMigrateError
from ci_migrate.migrations.lender import Lender
from ci_migrate.run.interpreter import lending
from ci_migrate.settings.settings import load
from ci_migrate.verbs import Verb


def pipeline_command(environment: Environment, verb: Verb, options: dict[str, Any], **more: Any) -> int:
    """Run a pipeline command and return its exit code; see `pipeline.pipeline_command` for what is given."""
    with _interpreter(environment, verb, options) as lender:
        from ci_migrate.commands import pipeline

        return pipeline.pipeline_command(environment, verb, options, lender=lender, **more)


@contextmanager
def _interpreter(environment: Environment, verb: Verb, options: dict[str, Any]) -> Iterator[Lender | None]:
    """The project's interpreter, which starts now; None where that is not known, or where none is needed."""
    flags = {name: value for name, value in options.items() if name not in REPORT_OPTIONS}
    try:
        settings = load(environment.directory, environment.environ, given_flags(flags))
    except CiMigrateError:  # what is wrong is told when they are read in earnest
        yield None
        return
    if not verb.starts_children and settings.url is not None:
        yield None
        return
    with lending(settings) as lender:
        yield lender

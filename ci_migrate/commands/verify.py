"""`ci-migrate verify`."""

from collections.abc import Sequence
from typing import Any

import click

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.options import settings_of, settings_options
from ci_migrate.commands.printing import say, say_json
from ci_migrate.commands.progress import say_aside
from ci_migrate.errors import ExitCode
from ci_migrate.model import Frozen, RunRecord
from ci_migrate.operations.backfills import list_unended
from ci_migrate.operations.status import verify
from ci_migrate.session import GateRequest, open_session
from ci_migrate.verbs import VERBS

NOT_COMPARED = int(ExitCode.COULD_NOT_TELL)
"""0 would say that all is well, 1 that something differs."""


class Verified(Frozen, frozen=True, kw_only=True):
    """What `verify --json` prints. `run_id` is the run that left the target so, None where there was none yet."""

    target: str
    run_id: str | None
    ended: bool  # False: that run did not end, and `differences` are from what it was to leave
    differences: tuple[str, ...]
    unended_backfills: tuple[str, ...] = ()  # of those that the settings require
    exit_code: int


@click.command("verify")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@settings_options
@click.pass_obj
def command(environment: Environment, /, as_json: bool, **options: Any) -> int:
    """Compare the target with what the last migration left. Ends with 1 if it differs.

    So it does while a backfill that the settings require has not ended.
    """
    settings = settings_of(environment, options)
    with open_session(settings, GateRequest(VERBS["verify"], tell=say_aside), environment.interrupt) as run:
        record, differences = verify(run)
        unended = list_unended(run)
    if as_json:
        code = NOT_COMPARED if record is None else int(record.needs_repair or bool(differences or unended))
        say_json(
            Verified(
                target=settings.target,
                run_id=record.run_id if record is not None else None,
                ended=record is None or not record.needs_repair,
                differences=tuple(differences),
                unended_backfills=unended,
                exit_code=code,
            )
        )
        return code
    if record is None:
        say("ci-migrate has not migrated this target yet: nothing to compare with.")
        return NOT_COMPARED
    if record.needs_repair:
        return _say_unfinished(record, differences, settings.target)
    for words in unended:
        say(f"Required, and not at its end: {words}.")
    if not differences:
        say(f"As run {record.run_id} left it: heads and schema are the same.")
        return int(bool(unended))
    say(f"Not as run {record.run_id} left it:")
    for words in differences:
        say(f"  {words}")
    return 1


def _say_unfinished(record: RunRecord, differences: Sequence[str], target: str) -> int:
    """The run that would have left something did not end: what differs from its end, and what brings it there."""
    told = (
        ", and this is not as it was to leave it:"
        if differences
        else "; heads and schema are as it was to leave them."
    )
    say(f"Run {record.run_id} did not end{told}")
    for words in differences:
        say(f"  {words}")
    say(f"What it left, and how it ends: ci-migrate repair --dry-run --target {target}")
    return 1

"""`ci-migrate wait`: until the database serves what an image's scripts need. It reads, and needs no ledger."""

import time
from collections.abc import Callable

import msgspec

from ci_migrate.errors import CiMigrateError, ExitCode, RefusedError, UsageError
from ci_migrate.migrations.graph import Inspection
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import Frozen, Plan, show_heads
from ci_migrate.run.inputs import look_at_target
from ci_migrate.run.run import Run, heads_of
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.verbs import VERBS

SHOWN = 3


class Waited(Frozen, frozen=True, kw_only=True):
    """How the waiting ended. `heads` and `wanted` are words for people, "" where nothing could be read."""

    target: str
    served: bool
    words: str
    heads: str = ""
    wanted: str = ""
    seconds: float = 0.0
    exit_code: int = 0


def wait(
    settings: Settings,
    interrupt: Interrupt,
    *,
    revision: str | None = None,
    timeout: float,
    every: float,
    newer: bool = False,
    tell: Callable[[str], None],
) -> Waited:
    """Look again and again.

    Args:
        settings: for one target.
        interrupt: set by signal handlers.
        revision: what must be applied; None for all heads of the scripts.
        timeout: seconds after which it gives up; 0 looks once.
        every: seconds between two looks.
        newer: a database whose revision these scripts do not know, since a later release migrated it, will do.
        tell: called with what it waits for, when that changes.

    Returns:
        Exit code 0 once it is served, 1 where it was not in time, 8 where nothing could be read at the end.

    Raises:
        UsageError, RefusedError: waiting does not help: settings, scripts, or no such revision.
    """
    started, said = time.monotonic(), ""
    request = GateRequest(VERBS["wait"], destination=revision or "heads")

    def left() -> float:
        return timeout - (time.monotonic() - started)

    while True:
        try:
            with open_session(settings, request, interrupt) as run:
                plan, found = look_at_target(run)
                seen = _judge(settings, plan, found, newer=newer)
                if not seen.served and seen.words != said:
                    said = seen.words
                    tell(said)
                if not seen.served:
                    _sleep_while_same(run, plan, every, left)
        except (UsageError, RefusedError):  # what the image holds is not mended by waiting
            raise
        except CiMigrateError as error:  # a database that starts, a pod that has no network yet
            words = f"{error.what} {error.hint}".strip()
            seen = Waited(
                target=settings.target, served=False, words=words, exit_code=ExitCode.COULD_NOT_TELL
            )
            if words != said:
                said = words
                tell(said)
            time.sleep(min(every, max(0.0, left())))
        seconds = time.monotonic() - started
        if seen.served or left() <= 0:
            return msgspec.structs.replace(seen, seconds=round(seconds, 3))


def _judge(settings: Settings, plan: Plan, found: Inspection, *, newer: bool) -> Waited:
    at = show_heads([c.from_heads for c in plan.contexts])
    wanted = " + ".join(plan.script_heads) if plan.destination == "heads" else plan.destination
    if found.row_troubles:
        unknown = "which these scripts do not know: a later release, or another history"
        served, words = newer, f"The database is at {at}, {unknown}."
    elif plan.pending:
        missing = [r.id for r in plan.revisions]
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        words = f"The database is at {at}; not applied yet: {', '.join(missing[:SHOWN])}{more}."
        served = False
    else:
        served, words = True, f"The database is at {at}: nothing that these scripts need is missing."
    return Waited(
        target=settings.target,
        served=served,
        words=words,
        heads=at,
        wanted=wanted,
        exit_code=ExitCode.OK if served else ExitCode.REFUSED,
    )


def _sleep_while_same(run: Run, plan: Plan, every: float, left: Callable[[], float]) -> None:
    """Until the version rows are others, or the time is over: a plain query, no child is started for it."""
    # as the look had them: what was committed since is not to be waited for any more
    before = tuple(c.from_heads for c in plan.contexts)
    while left() > 0:
        time.sleep(min(every, max(0.0, left())))
        if heads_of(run.reader, plan) != before:
            return

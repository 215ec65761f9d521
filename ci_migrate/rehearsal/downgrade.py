"""The second half of the dry run: does `downgrade` lead back, and is everything still there?"""

import time
from collections.abc import Callable

from ci_migrate.databases.base import Database
from ci_migrate.migrations.requests import Mode, RunRequest, make_tables_back
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import Direction, Plan, Schema, TableContent, WayBack, schema_changes, show_heads
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.run import Run, bare_schema, child_setup, heads_of, translate_errors


def try_way_back(
    run: Run,
    plan: Plan,
    scratch: Database,
    schema: Schema,
    contents: dict[str, TableContent],
    see: Callable[[Ended], None] = lambda _ended: None,
) -> WayBack:
    """Downgrade the migrated scratch copy to where it began, and compare.

    Args:
        run: this run.
        plan: what was rehearsed.
        scratch: the copy, at the end of the plan.
        schema: the copy before the rehearsal.
        contents: the rows of the watched tables before the rehearsal.
        see: shown how the child ended, and with that what it executed and read.
    """
    if plan.direction is not Direction.UPGRADE:
        return WayBack(tried=False, reason="the plan itself goes back")
    missing = [r.id for r in plan.revisions if not r.has_downgrade]
    if missing:
        return WayBack(tried=False, reason=f"revision {missing[-1]} has no downgrade")
    request = RunRequest(
        setup=child_setup(
            run,
            "dry-run",
            scratch,
            direction=Direction.DOWNGRADE,
            inputs=expected_inputs(run.settings, plan),
            plan=plan,
        ),
        mode=Mode.DRY_RUN,
        asks=(),  # nothing is measured on the way
        contexts=make_tables_back(plan),
    )
    started = time.monotonic()
    ended = run.workers.run(request, lambda _event: None, urgent=True)
    see(ended)
    seconds = time.monotonic() - started
    if not ended.ok:
        where = f"downgrade of {ended.failed.revision}: " if ended.failed and ended.failed.revision else ""
        return WayBack(tried=True, seconds=seconds, reason=f"{where}{ended.words}")
    heads = heads_of(scratch, plan)
    expected = tuple(c.from_heads for c in plan.contexts)
    # an env.py may end early without an error
    if heads != expected:
        return WayBack(
            tried=True,
            seconds=seconds,
            reason=f"downgrade ended at {show_heads(heads)}, not at {show_heads(expected)}",
        )
    with translate_errors(scratch):
        changes = schema_changes(schema, bare_schema(scratch, plan))
        now = scratch.contents(contents)
    lost = [table for table, before in contents.items() if table not in now or now[table] != before]
    return WayBack(
        tried=True,
        ran=True,
        same_schema=not changes,
        lossless=_lossless(contents, now, lost),
        seconds=seconds,
        reason=_reason(changes != (), lost, [t for t, content in contents.items() if content.digest is None]),
        differences=tuple(c.words for c in changes),
    )


def _lossless(before: dict[str, TableContent], now: dict[str, TableContent], lost: list[str]) -> bool | None:
    if lost:
        return False
    undigested = [t for t, content in before.items() if content.digest is None]
    return None if undigested and all(t in now for t in undigested) else True


def _reason(schema_differs: bool, lost: list[str], unseen: list[str]) -> str:
    parts = []
    if schema_differs:
        parts.append("the schema is not what it was")
    if lost:
        parts.append(f"contents of {', '.join(sorted(lost)[:3])} are not what they were")
    if unseen and not parts:
        parts.append(f"the rows of {', '.join(sorted(unseen)[:3])} can't all be seen")
    return " and ".join(parts)

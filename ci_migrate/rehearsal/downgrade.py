"""The second half of the dry run: does `downgrade` lead back, and is everything still there?"""

import time
from collections.abc import Callable

from ci_migrate.databases.base import Database
from ci_migrate.migrations.requests import Mode, RunRequest, make_tables_back
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import (
    Direction,
    Plan,
    Schema,
    TableContent,
    WayBack,
    list_some,
    plural,
    schema_changes,
    show_heads,
)
from ci_migrate.run.inputs import expected_inputs
from ci_migrate.run.run import Run, bare_schema, child_setup, heads_of, translate_errors

SHOWN = 3


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
    return WayBack(
        tried=True,
        ran=True,
        same_schema=not changes,
        lossless=_lossless(contents, now),
        seconds=seconds,
        reason=_reason(contents, now, schema_differs=bool(changes)),
        differences=tuple(c.words for c in changes),
    )


def _lossless(before: dict[str, TableContent], now: dict[str, TableContent]) -> bool | None:
    """Whether all that was there is there; None where nobody saw: too much to read, or rows came besides."""
    differing = [t for t, content in before.items() if now.get(t) != content]
    if any(t not in now or not _grew(before[t], now[t]) for t in differing):
        return False
    return None if differing or any(content.digest is None for content in before.values()) else True


def _grew(before: TableContent, now: TableContent) -> bool:
    """Whether it holds more rows than before, and no column fewer values: those of before may well be among them."""
    return now.rows > before.rows and all(
        name in now.columns and now.columns[name].values >= column.values
        for name, column in before.columns.items()
    )


def _reason(before: dict[str, TableContent], now: dict[str, TableContent], *, schema_differs: bool) -> str:
    """What is not as it was, or could not be seen; "" where all was compared and is."""
    parts = ["the schema is not what it was"] if schema_differs else []
    differing = sorted(t for t, content in before.items() if now.get(t) != content)
    if differing:
        parts.append(list_some([_how(table, before[table], now.get(table)) for table in differing], SHOWN))
    unseen = sorted(t for t, content in before.items() if content.digest is None)
    if unseen and not parts:
        parts.append(f"the rows of {', '.join(unseen[:SHOWN])} can't all be seen")
    return " and ".join(parts)


def _how(table: str, before: TableContent, now: TableContent | None) -> str:
    """How what a table holds differs, in words: rows, values that are gone, or other values."""
    if now is None:
        return f"table {table} is gone with {plural(before.rows, 'row')}"
    if now.rows != before.rows:
        return f"table {table} has {plural(now.rows, 'row')} and had {before.rows:,}"
    columns = {name: (column, now.columns.get(name)) for name, column in before.columns.items()}
    gone = [name for name, (was, is_) in sorted(columns.items()) if is_ is None or is_.values < was.values]
    other = [name for name, (was, is_) in sorted(columns.items()) if was != is_]
    if gone:
        return f"values of {table}.{', '.join(gone[:SHOWN])} are gone"
    which = f"values of {table}.{', '.join(other[:SHOWN])}" if other else f"the rows of {table}"
    return f"{which} are not what they were"

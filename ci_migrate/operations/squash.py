"""`squash`: one baseline in the place of a long history, written only where both are proved to lead to the same."""

import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import msgspec

from ci_migrate import __version__
from ci_migrate.databases.base import Database
from ci_migrate.databases.baselines import Baseline, MakesBaselines
from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import inspect, make_plan, names_below, relative
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.record import RECORDS, version_table_names
from ci_migrate.migrations.requests import AnyRequest, Mode, Squashed
from ci_migrate.migrations.runner import Ended, Handle, Workers
from ci_migrate.model import Frozen, Plan, VersionTable, list_some, name_some, now, plural
from ci_migrate.operations.dry_run_on import EMPTY, stand_in
from ci_migrate.operations.squash_files import Change, finish_change, refuse_uncommitted, write_change
from ci_migrate.operations.squash_proof import Seen, differences, look_at
from ci_migrate.operations.squash_script import Wanted, write_script
from ci_migrate.rehearsal.measured import run_on_copy
from ci_migrate.run.inputs import inputs_seen, look_at_target
from ci_migrate.run.run import Run, child_setup, translate_errors
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import Settings
from ci_migrate.tempdirs import private_folder
from ci_migrate.verbs import VERBS

MOST = 1000
"""Rows in all that a baseline may hold: a script is no place for data."""

CLOCK = 1.1
"""Seconds between the end of one run and the next one: what holds the time, be it in whole seconds, differs then."""


class Baselined(Frozen, frozen=True, kw_only=True):
    """What a squash came to. Files are named from the project's folder; seconds are those from base to `revision`."""

    revision: str
    revisions: tuple[str, ...]  # that are squashed, from the first on
    engine: str
    file: str
    text: str
    gone: tuple[str, ...]
    compared: tuple[str, ...]
    not_compared: tuple[str, ...]
    later: int  # revisions that were run on top of both
    chain_seconds: float
    baseline_seconds: float
    written: bool = False


def squash(
    settings: Settings,
    destination: str,
    interrupt: Interrupt | None = None,
    *,
    write: bool = False,
    tell: Callable[[str], None] = lambda _text: None,
) -> Baselined:
    """Make a baseline for all revisions up to one, and prove it; the target is not reached.

    Args:
        settings: for the target, whose engine the baseline is for.
        destination: the last revision that is squashed, whose id the baseline keeps.
        interrupt: set by signal handlers.
        write: change the project's files.
        tell: called with what is under way.

    Raises:
        RefusedError: it can't be proved, or git does not have the files that would go.
        UsageError: the destination names no single revision.
        CiMigrateError: scripts can't be loaded, or a scratch copy can't be had.
    """
    finish_change(settings.project_dir, tell)
    if settings.databases:
        raise UsageError("squash works on one database, and this target names several (`databases`).")
    verb = VERBS["squash"]
    with stand_in(settings, verb, EMPTY, interrupt) as (instead, _):
        request = GateRequest(verb, destination=destination, tell=tell)
        with open_session(replace(instead, auto_backup=False), request, interrupt) as run:
            made = _Squash(run).make(destination)
    change = Change(file=made.file, text=made.text, gone=made.gone)
    if not write:
        return made
    refuse_uncommitted(settings.project_dir, (made.file, *made.gone))
    if interrupt is not None:
        interrupt.defer_signals = True  # half of the files is no history
    write_change(settings.project_dir, change)
    return msgspec.structs.replace(made, written=True)


class _WithBaseline(Workers):
    """Children that see the scripts as they are once the baseline is written."""

    def __init__(self, workers: Workers, squashed: Squashed) -> None:
        super().__init__(workers.launch, workers.interrupt)
        self._workers = workers
        self._squashed = squashed

    def run(
        self,
        request: AnyRequest,
        handle: Handle,
        *,
        urgent: bool = False,
        tick: Callable[[], None] = lambda: None,
    ) -> Ended:
        """As `Workers.run`."""
        setup = msgspec.structs.replace(request.setup, squashed=self._squashed)
        asked = msgspec.structs.replace(request, setup=setup)
        return self._workers.run(asked, handle, urgent=urgent, tick=tick)


@dataclass(frozen=True)
class _Chain:
    """The revisions that are squashed."""

    plan: Plan
    revision: str
    ids: tuple[str, ...]
    scripts: tuple[events.GraphRevision, ...]

    @property
    def last(self) -> events.GraphRevision:
        """The one whose id and file the baseline keeps."""
        return next(one for one in self.scripts if one.id == self.revision)


class _Squash:
    """One squash: `run` is on an empty database, on whose server scratch copies live."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def make(self, destination: str) -> Baselined:
        """See `squash`."""
        run = self._run
        chain = _find_chain(run, destination)
        _refuse_unfit(run, chain)
        folder = run.settings.project_dir
        with ExitStack() as stack:
            first, second = (stack.enter_context(self._copy(n)) for n in ("first", "second"))
            run.tell(
                f"running {plural(len(chain.ids), 'revision')} on an empty copy: base -> {chain.revision}"
            )
            chain_seconds = self._migrate(first, chain.plan)
            over = time.time()
            seen = look_at(first, chain.plan)
            _refuse_many_rows(first, chain.plan)
            baseline = _read_baseline(first, chain.plan)
            run.tell("running them once more on another copy: do they do the same twice?")
            time.sleep(max(0.0, over + CLOCK - time.time()))
            self._migrate(second, chain.plan)
            _refuse_chance(differences(seen, look_at(second, chain.plan), exact=True))
            _refuse_today(baseline)
            text = self._text(chain, baseline, destination)
            place = stack.enter_context(private_folder()) / Path(chain.last.file).name
            place.write_text(text, encoding="utf-8")
            squashed = Squashed(
                gone=tuple(one.file for one in chain.scripts), baseline=str(place), revision=chain.revision
            )
            after = replace(run, workers=_WithBaseline(run.workers, squashed))
            third = stack.enter_context(self._copy("third"))
            run.tell("running the baseline on an empty copy")
            baseline_seconds, rewritten = self._prove(after, third, chain, seen)
            later, unsteady = self._prove_later(after, first, second, third)
        return Baselined(
            revision=chain.revision,
            revisions=chain.ids,
            engine=baseline.engine,
            file=relative(chain.last.file, folder),
            text=text,
            gone=tuple(relative(one.file, folder) for one in chain.scripts if one.id != chain.revision),
            compared=(
                plural(len(seen.schema), "object") + " of the schema",
                " in ".join((plural(seen.rows, "row"), plural(len(seen.contents), "table"))),
                "the order of columns, the numbers that come next, the version rows",
            ),
            not_compared=(*baseline.not_compared, *rewritten, *unsteady),
            later=later,
            chain_seconds=round(chain_seconds, 3),
            baseline_seconds=round(baseline_seconds, 3),
        )

    @contextmanager
    def _copy(self, name: str) -> Iterator[Database]:
        with self._run.copies.scratch(f"{self._run.id}_{name}", self._run.scratch_folder) as copy:
            yield copy

    def _migrate(self, copy: Database, plan: Plan, run: Run | None = None, *, what: str = "") -> float:
        """Run a plan on a copy; returns the seconds that it took. Raises RefusedError where it failed."""
        started = time.monotonic()
        ended = run_on_copy(run or self._run, plan, copy, lambda _event: None, asks=())
        seconds = time.monotonic() - started
        if not ended.ok:
            at = f" in {ended.failed.revision}" if ended.failed and ended.failed.revision else ""
            raise RefusedError(
                f"{what or 'The revisions do not run on an empty database'}{at}: {ended.words.rstrip('.')}.",
                hint="ci-migrate dry-run --on empty shows the same by the scripts that are there.",
            )
        return seconds

    def _text(self, chain: _Chain, baseline: Baseline, destination: str) -> str:
        labels = {label for one in chain.scripts for label in one.own_labels}
        return write_script(
            Wanted(
                revision=chain.revision,
                revisions=chain.ids,
                replaces=tuple(dict.fromkeys(i for one in chain.scripts for i in (*one.replaces, one.id))),
                labels=sorted(labels),
                command=shlex.join(["ci-migrate", "squash", "--to", destination]),
                version=__version__,
                dialect=self._run.database.dialect,
            ),
            baseline,
        )

    def _prove(self, after: Run, copy: Database, chain: _Chain, seen: Seen) -> tuple[float, tuple[str, ...]]:
        """Raise RefusedError where the baseline leads to something else.

        Returns the seconds that it took, and the definitions that were compared without casts and parentheses.
        """
        plan, _ = look_at_target(after)
        seconds = self._migrate(copy, plan, after, what="The baseline does not run on an empty database")
        found = look_at(copy, plan)
        different = differences(seen, found, exact=copy.capabilities.stable_definitions)
        if different:
            raise RefusedError(
                f"The baseline does not lead to what {plural(len(chain.ids), 'revision')} lead to: "
                f"{list_some(list(different.values()))}.",
                hint="Nothing was written. docs/squash.md says what can't be proved.",
            )
        rewritten = differences(seen, found, exact=True)
        return seconds, tuple(f"casts and parentheses of {name}" for name in rewritten)

    def _prove_later(
        self, after: Run, first: Database, second: Database, third: Database
    ) -> tuple[int, tuple[str, ...]]:
        """Run later revisions by the old scripts, by the new ones where the old ones led here, and on the baseline.

        Returns how many there are, and what can't be compared since they do not do the same twice.

        Raises:
            RefusedError: they do not lead to the same.
        """
        self._run.tell("running the later revisions on top of both")
        found: list[Seen] = []
        count = 0
        for run, copy in ((self._run, first), (after, second), (after, third)):
            plan = _plan_on(run, copy)
            count = plan.pending
            if not count:
                return 0, ()
            self._migrate(copy, plan, run, what="Later revisions do not run on top of it")
            found.append(look_at(copy, plan))
            time.sleep(CLOCK if copy is first else 0)
        old, new, based = found
        unsteady = differences(old, new, exact=True)
        exact = third.capabilities.stable_definitions
        different = {
            name: words
            for name, words in differences(new, based, exact=exact).items()
            if name not in unsteady
        }
        if different:
            raise RefusedError(
                f"Later revisions do not lead to the same on top of the baseline: "
                f"{list_some(list(different.values()))}.",
                hint="Nothing was written.",
            )
        return count, tuple(f"{name}: later revisions do not do the same twice" for name in unsteady)


def _find_chain(run: Run, destination: str) -> _Chain:
    """What is squashed: all that runs from base to the destination."""
    plan, found = look_at_target(run)
    assert found.graph is not None
    if len(plan.contexts) != 1:
        raise RefusedError(f"env.py migrates {len(plan.contexts)} version tables: squash works on one.")
    (context,) = plan.contexts
    if len(context.to_heads) != 1:
        raise UsageError(
            f"--to {destination} names no single revision: it leads to {name_some(context.to_heads)}."
        )
    ids = context.revisions
    if len(ids) < 2:
        raise RefusedError(
            f"There is nothing to squash: from base to {context.to_heads[0]} it is one revision."
        )
    by_id = {one.id: one for one in found.graph.revisions}
    scripts = tuple(by_id[one] for one in ids)
    unfit = [one.file for one in scripts if not one.file.endswith(".py")]
    outside = [
        one.file for one in scripts if Path(relative(one.file, run.settings.project_dir)).is_absolute()
    ]
    if unfit or outside:
        why = "are compiled" if unfit else "lie outside of the project"
        raise RefusedError(f"Scripts {why}: {name_some(unfit or outside)}.")
    rest = [one for one in found.graph.revisions if one.id not in ids]
    _refuse_dependents(rest, by_id, set(ids), context.to_heads[0])
    return _Chain(plan, context.to_heads[0], ids, scripts)


def _refuse_dependents(
    rest: Sequence[events.GraphRevision], by_id: Mapping[str, events.GraphRevision], gone: set[str], kept: str
) -> None:
    """Raise RefusedError where a revision that stays builds on one that goes."""
    dependents = [
        f"{one.id} on {name_some(sorted(below))}"
        for one in rest
        if (below := (set(names_below(one, by_id)) & gone) - {kept})
    ]
    if dependents:
        raise RefusedError(
            f"Revisions that stay build on revisions that would go: {list_some(dependents)}.",
            hint="Squash up to a revision that has all branches below it, or merge them first.",
        )


def _refuse_unfit(run: Run, chain: _Chain) -> None:
    """Raise RefusedError where the engine has no baselines, or a script that stays imports one that goes."""
    if not isinstance(run.database, MakesBaselines):
        raise RefusedError(f"squash knows no baselines of {run.database.dialect}.")
    gone = {Path(one.file).resolve() for one in chain.scripts}
    for folder in sorted({file.parent for file in gone}):
        stems = "|".join(re.escape(file.stem) for file in gone if file.parent == folder)
        within = rf"[\w.]*\b{re.escape(folder.name)}"
        imports = re.compile(
            rf"^\s*(?:from\s+(?:\.+|{within}\.)?(?:{stems})\s+import|import\s+(?:{within}\.)?(?:{stems})\b"
            rf"|from\s+(?:\.+|{within})\s+import\s.*\b(?:{stems})\b)",
            re.MULTILINE,
        )
        for file in sorted(set(folder.glob("*.py")) - gone):
            if imports.search(file.read_text(encoding="utf-8", errors="replace")):
                name = relative(str(file), run.settings.project_dir)
                raise RefusedError(f"{name} imports a script that would go.", file=name)


def _plan_on(run: Run, copy: Database) -> Plan:
    """What would run on a copy from where it is."""
    on = replace(run, destination="heads")
    found = inspect(run.workers, child_setup(on, "dry-run", copy), Mode.DRY_RUN)
    return make_plan(
        found,
        target=run.settings.target,
        identity=copy.identity(),
        direction=run.direction,
        destination="heads",
        project=run.settings.project_dir,
        inputs=inputs_seen(found.ended.inputs if found.ended else None, run.settings),
    )


def _refuse_many_rows(copy: Database, plan: Plan) -> None:
    with translate_errors(copy):
        counts = copy.counts(exact=True)
    rows = {name: count.rows for name, count in counts.items() if name not in version_table_names(plan)}
    if sum(rows.values()) > MOST:
        most = sorted((name for name in rows if rows[name]), key=lambda name: -rows[name])
        raise RefusedError(
            f"The revisions put {sum(rows.values()):,} rows into tables, and a baseline holds at most {MOST:,}: "
            f"{name_some([f'{name} ({rows[name]:,})' for name in most])}.",
            hint="Squash up to a revision before them, or load them by a later revision.",
        )


def _read_baseline(copy: Database, plan: Plan) -> Baseline:
    assert isinstance(copy, MakesBaselines)
    with translate_errors(copy):
        tables = [c.version_table for c in plan.contexts]
        checkpoints = [VersionTable(name=RECORDS, search_path=table.search_path) for table in tables]
        found = copy.baseline_reader().baseline([*tables, *checkpoints])
    if found.unfit:
        raise RefusedError(f"A baseline can't hold all of it: {list_some(found.unfit)}.")
    return found


def _refuse_chance(different: Mapping[str, str]) -> None:
    if different:
        raise RefusedError(
            f"The revisions do not lead to the same twice, so no baseline can be proved: "
            f"{list_some(list(different.values()))}.",
            hint="The time, a random number or a UUID is put in by a revision or a default: write a fixed value there.",
        )


def _refuse_today(baseline: Baseline) -> None:
    """Two runs on one day put the same day in."""
    today = now().date()
    days = [today + timedelta(days=n) for n in (-1, 0, 1)]  # wherever the server's zone is
    said = re.compile("|".join(text for day in days for text in (f"{day:%Y-%m-%d}", f"{day:%Y%m%d}")))
    for sql in baseline.rows:
        if found := said.search(sql):
            table = sql.split("(", 1)[0].removeprefix("INSERT INTO ").strip()
            raise RefusedError(
                f"Table {table} holds the day on which the revisions were run ({found[0]}): it would be another one "
                "tomorrow, and a baseline would keep this one.",
                hint="Write a fixed value into the revision. If it is one: squash again in two days.",
            )

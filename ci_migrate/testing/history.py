"""A project's revisions tried on scratch databases of their own, for its tests: up, down, and up again.

The whole history runs in one child process, from an empty database; what the schema was after each revision is what
its neighbour's downgrade has to lead back to.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from ci_migrate.databases.base import Database
from ci_migrate.errors import RefusedError
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import (
    explain_failure,
    heads_after,
    relative,
)
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import Direction, Plan, Schema, SchemaChange, list_some, schema_changes
from ci_migrate.run.run import bare_schema, translate_errors
from ci_migrate.testing.scratch import Failure, NeedsOwnProcessError, Result, Trials

SHOWN = 3


@dataclass
class Climb:
    """How the revisions ran upwards from an empty database."""

    order: tuple[str, ...]  # what was to run, in the order of Alembic
    done: int = 0  # how many of them ran
    failure: Failure | None = None
    schemas: dict[int, Schema] = field(default_factory=dict)  # by how many revisions had run
    models: bool = False  # env.py gave its target_metadata


class History:
    """The whole history tried on scratch databases, as far as it is asked for; each part once.

    Args:
        trials: where.
        graph: the revisions.
    """

    def __init__(self, trials: Trials, graph: events.Graph) -> None:
        self.trials = trials
        self.graph = graph
        self.by_id = {r.id: r for r in graph.revisions}
        self._stack = ExitStack()
        self._begin()

    def _begin(self) -> None:
        self._plan: Plan | None = None
        self._climb: Climb | None = None
        self._down: dict[str, Result] = {}
        self._drift: list[str] | None = None
        self._left: set[tuple[str, str | None]] = set()
        self._top: Database | None = None
        self._standing: int | None = None  # how many revisions are applied there, where that is known
        self._descent: Ended | None = None  # of all of them there

    def close(self) -> None:
        """Drop its scratch database. May be called twice."""
        self._stack.close()

    def _ask(self, question: Callable[[], Result]) -> Result:
        try:
            return question()
        except NeedsOwnProcessError:
            self.close()
            self._begin()
            return question()

    def climb(self, until: Collection[str] = ()) -> Climb:
        """Run the revisions upwards, once; no further than the last of `until` (all if there are none)."""
        if self._climb is None:
            self._top = self._stack.enter_context(self.trials.scratch())
            plan = self._plan = self.trials.plan(self._top, "heads")
            order = tuple(r.id for r in plan.revisions)
            last = max((order.index(r) + 1 for r in until if r in order), default=len(order))
            self._climb = self._run_up(self._top, order[:last])
            if self._climb.failure is None:
                self._standing = last
        return self._climb

    def up(self, revision: str, until: Collection[str] = ()) -> Result:
        """Whether the upgrade of a revision ran, `until` as `climb`."""
        return self._ask(lambda: self._up(revision, until))

    def models_match(self) -> Result:
        """Whether models and the migrated database are the same, by Alembic's own compare."""
        return self._ask(self._models_match)

    def down(self, revision: str, until: Collection[str] = ()) -> Result:
        """Whether the downgrade of a revision ran and led to the schema that was there before its upgrade."""
        return self._ask(lambda: self._down_again(revision, until))

    def up_down_up(self) -> Result:
        """Whether all of it, back to the empty database, and all of it again leads to the same schema."""
        return self._ask(self._up_down_up)

    def _up(self, revision: str, until: Collection[str]) -> Result:
        climb = self.climb(until)
        if revision not in climb.order:
            return Failure("Alembic does not run it on the way to the heads", skipped=True)
        place = climb.order.index(revision)
        if place < climb.done:
            return None
        if place == climb.done:
            return climb.failure
        return Failure(f"upgrade[{climb.order[climb.done]}] fails before it", skipped=True)

    def _models_match(self) -> Result:
        climb = self.climb()
        if climb.failure is not None:
            return Failure(f"upgrade[{climb.order[climb.done]}] fails", skipped=True)
        if not climb.models:
            return Failure("env.py gives no target_metadata", skipped=True)
        if self._drift is None:
            with self._database_at(len(climb.order)) as database:
                self._drift = self.trials.compare(database, self.plan)
        shown = list_some(self._drift, SHOWN)
        return Failure(f"Models and migrated database differ: {shown}") if self._drift else None

    def _down_again(self, revision: str, until: Collection[str]) -> Result:
        upgraded = self._up(revision, until)
        if upgraded is not None:
            return Failure(f"upgrade[{revision}] does not pass", skipped=True)
        while revision not in self._down:
            self._descend(revision, until)
        return self._down[revision]

    def _up_down_up(self) -> Result:
        climb = self.climb()
        if climb.failure is not None:
            return Failure(f"upgrade[{climb.order[climb.done]}] fails", skipped=True)
        missing = [r for n, r in enumerate(climb.order, 1) if not self._goes_down(n)]
        if missing:
            return Failure(f"revision {missing[-1]} has no downgrade", skipped=True)
        all_of_them = len(climb.order)
        if self._descent is None:
            if self._standing != all_of_them:
                self.close()
                self._top = self._fill(self._stack.enter_context(self.trials.scratch()), all_of_them)
            assert self._top is not None
            self._go_down(self._top, all_of_them, climb.order[::-1])
        assert self._top is not None
        assert self._descent is not None
        ended, self._descent, self._standing = self._descent, None, None
        if not ended.ok:
            failure = self.trials.failure(ended)
            return replace(failure, what=f"On the way down: {ended.words}", skipped=_none(failure))
        again = self._run_up(self._top, climb.order)
        if again.failure is not None:
            return replace(again.failure, what=f"The second time up: {again.failure.what}")
        self._standing = all_of_them
        changes = schema_changes(climb.schemas[all_of_them], again.schemas[all_of_them])
        return Failure(f"The second time up leads elsewhere: {_words(changes)}") if changes else None

    @contextmanager
    def _database_at(self, number: int) -> Iterator[Database]:
        """A database where so many revisions are applied: the first one, as long as it stands there."""
        if self._top is not None and self._standing == number:
            yield self._top
            return
        with self.trials.scratch() as copy, translate_errors(copy):
            yield self._fill(copy, number)

    def _fill(self, copy: Database, number: int) -> Database:
        """The same database, after so many revisions."""
        climb = self._run_up(copy, self.climb().order[:number], look=False)
        if climb.failure is not None:
            raise RefusedError(f"What ran once did not run a second time: {climb.failure.what}.")
        return copy

    @property
    def plan(self) -> Plan:
        """What leads from an empty database to the heads: the same on each."""
        assert self._plan is not None
        return self._plan

    def _run_up(self, database: Database, order: Sequence[str], *, look: bool = True) -> Climb:
        plan = self.plan
        climb = Climb(tuple(order))
        started: list[events.RevisionStarted] = []

        def hear(event: events.AnyEvent) -> None:
            match event:
                case events.Context():
                    climb.models |= event.models
                case events.RevisionStarted():
                    started.append(event)
                case events.Committed(complete=True, revision=str(revision)) if look and revision in order:
                    number = climb.order.index(revision) + 1
                    climb.schemas[number] = bare_schema(database, plan)
                case _:
                    pass

        with translate_errors(database):
            climb.schemas[0] = bare_schema(database, plan)
            ended = self.trials.send(database, _part(plan, order), hear, asks=events.AHEAD if look else ())
            if ended.ok and look:
                climb.schemas[len(order)] = bare_schema(database, plan)
        climb.done = len(order)
        if not ended.ok:
            failed = (ended.failed.revision if ended.failed else None) or (
                started[-1].revision if started else None
            )
            if failed not in climb.order:  # before the first revision: nothing of it is a revision's fault
                raise explain_failure(ended, self.trials.run.workers.launch)
            climb.done = climb.order.index(failed)
            climb.failure = self.trials.failure(ended, self.by_id[failed].file)
        return climb

    def _way_down(self, applied: Sequence[str], order: Sequence[str] | None = None) -> Plan:
        """Back from a database where these revisions ran; by `order`, else all of them."""
        order = applied[::-1] if order is None else order
        part = _part(self.plan, applied)
        contexts = [
            msgspec.structs.replace(
                c,
                from_heads=heads_after(self.by_id, (), c.revisions, Direction.UPGRADE),
                revisions=tuple(r for r in order if r in c.revisions),
            )
            for c in part.contexts
        ]
        return msgspec.structs.replace(
            part, direction=Direction.DOWNGRADE, destination="base", contexts=tuple(contexts)
        )

    def _goes_down(self, number: int) -> bool:
        """Whether a downgrade is to be tried: there is one, or an empty one where the schema did not change."""
        schemas, script = self.climb().schemas, self.by_id[self.climb().order[number - 1]]
        return script.has_downgrade or (
            schemas.get(number) == schemas.get(number - 1) is not None
            and b"def downgrade(" in Path(script.file).read_bytes()
        )

    def _descend(self, revision: str, until: Collection[str]) -> None:
        """Downgrade through all that is asked for and not known yet, as far as it goes: at least one gets a result."""
        climb = self.climb()
        asked = [climb.order.index(r) + 1 for r in {revision, *until} if r in climb.order[: climb.done]]
        open_ = [n for n in asked if climb.order[n - 1] not in self._down]
        top, last = max(open_), min(open_)
        if not self._goes_down(top):
            self._down[climb.order[top - 1]] = Failure("it has no downgrade", skipped=True)
            return
        bottom = top
        while bottom >= last and self._goes_down(bottom):
            bottom -= 1
        with self._database_at(top) as database:
            self._go_down(database, top, climb.order[bottom:top][::-1])

    def _go_down(self, copy: Database, top: int, order: Sequence[str]) -> None:
        # between two version tables the schema is no state of the history
        several = len(self.plan.contexts) > 1
        passed: set[str] = set()
        if copy is self._top:
            self._standing = None

        def hear(event: events.AnyEvent) -> None:
            match event:
                case events.Committed(complete=True, revision=str(revision)) if revision in order:
                    passed.add(revision)
                    if revision not in self._down:
                        self._down[revision] = None if several else self._lead_back(copy, revision)
                case _:
                    pass

        ended = self.trials.send(copy, self._way_down(self.climb().order[:top], order), hear)
        if copy is self._top:
            self._standing = top - len(order) if ended.ok else None
            self._descent = ended if len(order) == len(self.climb().order) else None
        for revision in order:
            if ended.ok or revision in passed:
                self._down.setdefault(revision, None)
                continue
            failure = self.trials.failure(ended, self.by_id[revision].file)
            none = Failure("it has no downgrade", skipped=True)
            self._down.setdefault(revision, none if _none(failure) else failure)
            return

    def _lead_back(self, copy: Database, revision: str) -> Result:
        climb = self.climb()
        before = climb.schemas.get(climb.order.index(revision))
        if before is None:
            return None
        changes = schema_changes(before, bare_schema(copy, self.plan))
        # what the downgrade of a later revision left behind is that one's fault
        mine = [c for c in changes if (c.name, c.after) not in self._left]
        self._left |= {(c.name, c.after) for c in changes}
        where = relative(self.by_id[revision].file, self.trials.run.settings.project_dir)
        return Failure(f"The downgrade does not lead back: {_words(mine)}", where) if mine else None


def _none(failure: Failure) -> bool:
    """Whether that is how a script says that there is no downgrade."""
    return failure.what.startswith("NotImplementedError")


def _part(plan: Plan, order: Sequence[str]) -> Plan:
    """The plan with these revisions alone, in this order."""
    contexts = [
        msgspec.structs.replace(c, revisions=tuple(r for r in order if r in c.revisions))
        for c in plan.contexts
    ]
    return msgspec.structs.replace(plan, contexts=tuple(contexts))


def _words(changes: Sequence[SchemaChange]) -> str:
    return list_some([c.words for c in changes], SHOWN)

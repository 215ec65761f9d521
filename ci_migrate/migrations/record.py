"""Turns the events of one run into statements and commit points; compares a real run with the rehearsed one."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import msgspec

from ci_migrate.databases.composite.names import name_of
from ci_migrate.databases.measuring import Meter
from ci_migrate.migrations import events
from ci_migrate.migrations.graph import relative
from ci_migrate.migrations.lock_times import Sent, with_taken
from ci_migrate.migrations.worker.forms import form_but_for_numbers
from ci_migrate.model import (
    Backfill,
    CommitPoint,
    Delta,
    Plan,
    Schema,
    Statement,
    TableContent,
    canonical_json,
    sha256_hex,
)

RECORDS = "ci_migrate_backfills"
"""`ci_migrate.backfill.checkpoints.RECORDS`: importing that would take SQLAlchemy."""

WHOLE = 20000
"""Characters of a statement that the child sends."""

Text = TypeVar("Text", str, str | None)
Key = tuple[int, str | None, str | None, int | None, str]


def _key(event: events.StatementStarted, file: str | None) -> Key:
    return (event.context, event.revision, file, event.line, event.form)


@dataclass
class Recorder:
    """Collects what a dry run does. A loop over rows is one statement with `repeats`.

    `measure` returns the schema at a commit point, given the one before it, the database that committed (of others a
    transaction may be open, whose locks would hold it up) and what was sent to that since; `contents` the rows of the
    tables, which are not asked for then, None where the migration itself has locked them. Those are kept at each
    commit point if `keep` says so; else only what was changed since `start` by half a revision that left the schema as
    it was. `meter` is asked at the end of each transaction what its statements locked and rewrote.
    """

    project: Path
    plan: Plan
    measure: Callable[[Schema, str, Sequence[str]], Schema]
    meter: Meter | None = None
    contents: Callable[[], dict[str, TableContent] | None] = dict
    keep: bool = False
    start: dict[str, TableContent] = field(default_factory=dict)
    statements: dict[Key, Statement] = field(default_factory=dict)
    commit_points: list[CommitPoint] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    pragmas: list[events.PragmaInTransaction] = field(default_factory=list)
    named: list[events.AsksByName] = field(default_factory=list)
    failed: tuple[Key, str] | None = None  # the last statement that did, and why
    left_out: list[events.LeftOut] = field(default_factory=list)
    backfills: dict[tuple[int, str | None, str], Backfill] = field(default_factory=dict)
    last: Schema = field(default_factory=dict)
    hello: events.Hello | None = None
    _heads: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _stamped: dict[int, tuple[str, ...]] = field(default_factory=dict)  # not committed yet
    _open: Key | None = None
    _announced: bool = False
    _changed: tuple[tuple[str, ...], ...] | None = None  # what is about to be committed has, by table
    _since: dict[str, dict[Key, str]] = field(default_factory=dict)  # by database: sent since it committed
    _busy: set[str] = field(default_factory=set)  # databases with a transaction that has written
    _sent: dict[Key, Sent] = field(default_factory=dict)  # in the transactions that are open

    def handle(self, event: events.AnyEvent) -> str | None:
        """Take one event in; the answer is always to go on."""
        match event:
            case events.Hello():
                self.hello = event
            case events.StatementStarted():
                self._on_started(event)
            case events.StatementDone() if self._open is not None:
                if self.meter is not None:
                    self._sent[self._open] = Sent.of(event, self._sent.get(self._open))
                self._on_done(event.seconds, event.rows)
            case events.StatementFailed() if self._open is not None:
                self.failed = (self._open, event.error)
                self._on_done(event.seconds, None)
            case events.Stamped():
                self._stamped[event.context] = event.heads
            case events.Committing():
                self._announced, self._changed = True, event.changed
            case events.Committed():
                self._on_committed(event)
                self._announced = False
            case events.RolledBack():
                self._on_ended(event, committed=False)
            case events.RefusedConnection():
                self.refused.append(event.words)
            case events.PragmaInTransaction():
                self.pragmas.append(event)
            case events.AsksByName():
                self.named.append(event)
            case events.LeftOut():
                self.left_out.append(event)
            case events.BackfillProgress():
                self.backfills[event.context, event.revision, event.name] = Backfill(
                    name=event.name,
                    context=event.context,
                    revision=event.revision,
                    table=event.table,
                    rows=event.rows,
                    changed=event.changed,
                    batches=event.batches,
                    seconds=event.seconds,
                )
            case _:
                pass
        return None

    def _on_started(self, event: events.StatementStarted) -> None:
        file = relative(event.file, self.project) if event.file else None
        self._announced = False  # a commit that failed
        database = self.plan.contexts[event.context].version_table.database
        self._busy.add(database)
        self._open = key = _key(event, file)
        # the half of a statement may look harmless
        self._since.setdefault(database, {})[key] = event.sql if len(event.sql) < WHOLE else ""
        seen = self.statements.get(key)
        self.statements[key] = (
            msgspec.structs.replace(seen, repeats=seen.repeats + 1, exact="")
            if seen
            else Statement(
                position=event.position,
                context=event.context,
                revision=event.revision,
                file=file,
                line=event.line,
                sql=event.sql,
                digest=key[-1],
                seconds=0.0,
                rows=None,
                exact="" if event.backfill else event.exact,
                backfill=event.backfill,
            )
        )

    def _on_done(self, seconds: float, rows: int | None) -> None:
        assert self._open is not None
        statement = self.statements[self._open]
        total = None if rows is None else rows + (statement.rows or 0)
        self.statements[self._open] = msgspec.structs.replace(
            statement, seconds=statement.seconds + seconds, rows=statement.rows if total is None else total
        )
        self._open = None

    def _on_ended(self, event: events.Committed | events.RolledBack, *, committed: bool) -> None:
        """The end of a transaction; those of other databases may be open beside it."""
        sent = {key: one for key, one in self._sent.items() if not event.contexts or key[0] in event.contexts}
        self._sent = {key: one for key, one in self._sent.items() if key not in sent}
        self._busy.discard(event.database)
        if self.meter is not None and sent:
            database = self.plan.contexts[next(iter(sent))[0]].version_table.database
            ended, apart = (event.at, committed), version_table_names(self.plan)
            changed = self._changed if committed else None
            with_taken(self.statements, sent, self.meter, ended, database, apart, changed)
        self._changed = None

    def _on_committed(self, event: events.Committed) -> None:
        self._on_ended(event, committed=True)
        if self._is_next_batch(
            event
        ):  # what it changed is measured at the commit that comes after the last one
            self.commit_points[-1] = msgspec.structs.replace(
                self.commit_points[-1], statements=event.statements
            )
            return
        # what was rolled back stays among them: it may have committed all the same
        sent = tuple(self._since.pop(event.database, {}).values())
        schema = self.measure(self.last, event.database, sent)
        self._heads.update({n: self._stamped.pop(n) for n in event.contexts if n in self._stamped})
        heads = tuple(self._heads.get(n, c.from_heads) for n, c in enumerate(self.plan.contexts))
        changes = without_version_tables(schema_delta(self.last, schema), self.plan)
        only_rows = bool(event.revision) and not event.complete and not changes
        # what a part of a backfill's rows holds, nobody will ever find again
        told = (self.keep or only_rows) and not self._busy and not event.backfill
        rows = self.contents() if told else None
        self.commit_points.append(
            CommitPoint(
                position=len(self.commit_points) + 1,
                context=event.context,
                revision=event.revision,
                complete=event.complete,
                statements=event.statements,
                announced=self._announced,
                heads=heads,
                delta=changes,
                contents=(rows or {}) if self.keep else {},
                changed={t: c for t, c in rows.items() if c != self.start.get(t)}
                if only_rows and rows is not None
                else None,
                backfill=event.backfill,
            )
        )
        self.last = schema

    def _is_next_batch(self, event: events.Committed) -> bool:
        """Whether the last commit point is a batch of the same backfill: all batches are one commit point."""
        if not event.backfill or not self.commit_points:
            return False
        last = self.commit_points[-1]
        return (last.context, last.revision, last.backfill) == (event.context, event.revision, event.backfill)

    def forget_exact(self, positions: Collection[int]) -> None:
        """Of these statements only the form is the same each time."""
        for key, statement in self.statements.items():
            if statement.position in positions:
                self.statements[key] = msgspec.structs.replace(statement, exact="")

    @property
    def stream_digest(self) -> str:
        """One hash over all statements in the order in which they first came; those of one line are sorted."""
        lines = groupby(self.statements.items(), key=lambda item: item[0][:4])
        return sha256_hex(
            canonical_json(
                [(place[1], sorted((s.digest, s.exact) for _, s in line)) for place, line in lines]
            )
        )


def schema_delta(before: Schema, after: Schema) -> Delta:
    """As `model.delta`, but hashing only what changed: cheap at each commit point of a long history."""
    if before is after:
        return {}
    changed: Delta = dict.fromkeys(before.keys() - after.keys())
    changed.update({name: sha256_hex(text.encode())[:16] for name, text in after.items() - before.items()})
    return changed


@dataclass
class Follower:
    """Holds a real run against the rehearsed stream: same statements, same order, loops of any length.

    What ran more than once in the rehearsal is a loop, and so is what a batched backfill sends, however often that was
    (`Statement.loops`): it may run more or less often, or not at all, and its rows
    may come in another order (a restored table need not have them in the same one). What one line of a script sends
    may come in another order too: Alembic's batch mode walks sets of indexes.

    Where text and values stand in the script (`Statement.exact`) they must be the same; in `varying` stay those
    statements in which they were not, if those are to be found rather than refused. `overlook` is told of them, and of
    names that differ by a time or a random number in them, where stopping would leave more harm than going on.
    """

    project: Path
    rehearsed: tuple[Statement, ...]
    varying: set[int] | None = None
    overlook: Callable[[str], None] | None = None
    _places: dict[Key, int] = field(init=False)
    _next: int = 0
    _done: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._places = {_rehearsed_key(s): place for place, s in enumerate(self.rehearsed)}

    def check(self, event: events.StatementStarted) -> str | None:
        """None where the statement follows the rehearsal, else why not."""
        file = relative(event.file, self.project) if event.file else None
        key = _key(event, file)
        place = self._places.get(key)
        if (
            place is None
            and self.overlook is not None
            and (place := self._place_but_for_names(event, key)) is not None
        ):
            self.overlook(self._has_other_values(event, file, place))
        elif place is None:
            return self._differs(event, file)
        elif self.rehearsed[place].exact not in ("", event.exact):
            if self.varying is not None:
                self.varying.add(self.rehearsed[place].position)
            elif self.overlook is not None:
                self.overlook(self._has_other_values(event, file, place))
            else:
                return self._differs(event, file, place)
        if place < self._next or place in self._done:
            return None if self.rehearsed[place].loops else self._differs(event, file)
        due = [n for n in range(self._next, place) if n not in self._done and not self.rehearsed[n].loops]
        if any(_rehearsed_key(self.rehearsed[n])[:4] != key[:4] for n in due):
            return self._differs(event, file)
        self._done.add(place)
        self._next = due[0] if due else place + 1
        return None

    def runs_once(self, event: events.StatementStarted) -> bool:
        """Whether the rehearsal had this statement once: in no loop."""
        file = relative(event.file, self.project) if event.file else None
        place = self._places.get(_key(event, file))
        return place is not None and not self.rehearsed[place].loops

    def _place_but_for_names(self, event: events.StatementStarted, key: Key) -> int | None:
        """The next statement that this line sent in the rehearsal, if only numbers in names differ."""
        due = (n for n, s in enumerate(self.rehearsed) if n >= self._next and n not in self._done)
        place = next((n for n in due if _rehearsed_key(self.rehearsed[n])[:4] == key[:4]), None)
        if place is None or len(event.sql) >= WHOLE:
            return None
        same = form_but_for_numbers(self.rehearsed[place].sql) == form_but_for_numbers(event.sql)
        return place if same else None

    @property
    def left(self) -> Statement | None:
        """The first rehearsed statement, loops apart, that was not sent."""
        due = (n for n in range(self._next, len(self.rehearsed)) if n not in self._done)
        return next((self.rehearsed[n] for n in due if not self.rehearsed[n].loops), None)

    def _has_other_values(self, event: events.StatementStarted, file: str | None, place: int) -> str:
        where = f"{file}:{event.line}" if file else f"revision {event.revision}"
        return (
            f"{where} sends other values than in the dry run: {one_line(event.sql)} "
            f"(rehearsed: {one_line(self.rehearsed[place].sql)})"
        )

    def _differs(self, event: events.StatementStarted, file: str | None, place: int | None = None) -> str:
        place = self._next if place is None else place
        where = (
            f"{file}:{event.line}" if file else f"revision {event.revision}" if event.revision else "env.py"
        )
        expected = self.rehearsed[place].sql if place < len(self.rehearsed) else "no further statement"
        return (
            f"{where} is about to send a statement that the dry run did not: {one_line(event.sql)} "
            f"(rehearsed: {one_line(expected)})"
        )


def _rehearsed_key(statement: Statement) -> Key:
    return (statement.context, statement.revision, statement.file, statement.line, statement.digest)


def one_line(sql: str, limit: int = 160) -> str:
    """A statement as one line for a message."""
    text = " ".join(sql.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def version_table_names(plan: Plan) -> set[str]:
    """The version tables as the keys of a schema name them, and beside each the checkpoints of backfills.

    Those come with the first backfill, and stay when a downgrade forgets it.
    """
    tables = [context.version_table for context in plan.contexts]
    places = [(t.database, t.schema or t.search_path, t.name) for t in tables]
    places += [(t.database, t.search_path, RECORDS) for t in tables]
    return {name_of(database, ".".join(p for p in (path, name) if p)) for database, path, name in places}


def without_version_tables(schema: dict[str, Text], plan: Plan) -> dict[str, Text]:
    """A schema, fingerprint or delta without Alembic's version tables: their being there is no difference."""
    names = version_table_names(plan)
    ends = tuple(f" {name}{suffix}" for name in names for suffix in ("", "_pkc"))
    inside = [f" {name}." for name in names]

    def belongs(
        key: str,
    ) -> bool:  # `table public.alembic_version`, `owner table ...`, `column ....version_num`
        return key.endswith(ends) or any(part in key for part in inside)

    ours = {key for key in schema if belongs(key)}
    return {k: v for k, v in schema.items() if k not in ours} if ours else schema

"""Several databases that one env.py migrates (`databases` in the settings), taken as one.

The target's own database is the main one: its ledger, its URL, its engine. Everything that is measured, backed up,
copied, locked or restored is that of all of them. Objects and tables of the others are named `@NAME.` and what their
own engine calls them: `table @stats.public.visits`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import URL, Engine

from ci_migrate.databases.base import (
    Database,
    Dumped,
    KeepsReplaced,
    KnowsLacks,
    KnowsLargeObjects,
    KnowsRights,
    KnowsRoom,
    KnowsSequences,
    KnowsTools,
    LimitsStatements,
    Lock,
    Progress,
    SequenceUse,
    SettlesReplace,
    Wall,
    no_progress,
    undoes_additions,
)
from ci_migrate.databases.composite.measure import Meters
from ci_migrate.databases.composite.names import MAIN, add_prefix, key_of, mark, name_of, together, unmark
from ci_migrate.databases.digests import TakesSamples
from ci_migrate.databases.measuring import Measures, Meter
from ci_migrate.databases.traffic import Hindrance, WatchesTraffic
from ci_migrate.databases.weak_spots import WeakSpot, weak_spots_of
from ci_migrate.errors import (
    BackupError,
    CiMigrateError,
    DatabaseError,
    DirtyError,
    SettingsError,
)
from ci_migrate.model import Identity, RowCount, Sample, Schema, TableContent, VersionTable

T = TypeVar("T")


def members_of(database: Database) -> Mapping[str, Database]:
    """The databases that this one consists of, by name, the main one first; itself alone where it is one."""
    return database.members if isinstance(database, CompositeDatabase) else {MAIN: database}


class CompositeDatabase:
    """Databases of one engine as one. See `base.Database` for what each method promises.

    No transaction holds them together: a backup shows each at a moment of its own, and a restore swaps one after the
    other, once all of them are restored beside and checked.

    Args:
        members: by name, the main one (`MAIN`) first.

    Raises:
        SettingsError: they are of more than one engine.
    """

    def __init__(self, members: Mapping[str, Database]) -> None:
        self.members = dict(members)
        self._main = self.members[MAIN]
        other = next((n for n, m in self.members.items() if m.dialect != self._main.dialect), None)
        if other is not None:
            raise SettingsError(
                f"databases.{other} is {self.members[other].dialect}, the target's url is {self._main.dialect}: "
                "the databases of one target are of one engine.",
                hint="Give it a section of alembic.ini and a target of its own (docs/several-databases.md).",
            )
        self.dialect = f"{self._main.dialect} ({len(self.members)} databases)"
        self.url: URL = self._main.url
        self.capabilities = msgspec.structs.replace(self._main.capabilities, tables=False)

    def __repr__(self) -> str:
        return f"Several({self.members!r})"

    def engine(self, *, read_only: bool = False) -> Engine:
        """Sessions on the main one."""
        return self._main.engine(read_only=read_only)

    def _each(self, ask: Callable[[Database], T]) -> Iterator[tuple[str, T]]:
        return ((name, ask(member)) for name, member in self.members.items())

    # -- which they are

    def ping(self) -> None:
        """Raises SettingsError, too, where two of them are the same one."""
        seen: dict[str, str] = {}
        for name, member in self.members.items():
            member.ping()
            facts = repr(sorted(member.identity().facts.items()))
            if facts in seen:
                first = seen[facts] or "the target's url"
                raise SettingsError(
                    f"databases.{name} is the same database as {first}: {member.identity().place}."
                )
            seen[facts] = name

    def identity(self) -> Identity:
        places, facts = [], {}
        for name, found in self._each(lambda member: member.identity()):
            places.append(f"{name} {found.place}".strip())
            facts.update({f"{name}.{key}" if name else key: value for key, value in found.facts.items()})
        return Identity(dialect=self.dialect, place=", ".join(places), facts=facts)

    def wall(self) -> Wall:
        """The main one's; a child is given those of all members."""
        return self._main.wall()

    # -- what they hold

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        found: dict[VersionTable, tuple[str, ...]] = {}
        for name, member in self.members.items():
            own = [table for table in tables if table.database == name]
            found.update(zip(own, member.heads(own), strict=True))
        return tuple(found[table] for table in tables)

    def schema(self) -> Schema:
        return together(dict(self._each(lambda member: member.schema())))

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:
        if tables is None:
            each = self._each(lambda member: member.counts(exact=exact))
        else:
            each = ((n, self.members[n].counts(own, exact=exact)) for n, own in self._own(tables).items())
        return {name_of(name, table): count for name, counts in each for table, count in counts.items()}

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        each = ((name, self.members[name].contents(own)) for name, own in self._own(tables).items())
        return {
            name_of(name, table): content for name, contents in each for table, content in contents.items()
        }

    def sample(self, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
        found = {}
        for name, own in self._own(samples).items():
            member = self.members[name]
            if isinstance(member, TakesSamples):
                read = member.sample({table: samples[name_of(name, table)] for table in own})
                found.update({name_of(name, table): content for table, content in read.items()})
        return found

    def sequences(self) -> dict[str, str]:
        each = ((n, m.sequences()) for n, m in self.members.items() if isinstance(m, KnowsSequences))
        return {name_of(name, sequence): at for name, found in each for sequence, at in found.items()}

    def sequence_uses(self, names: Collection[str]) -> dict[str, SequenceUse]:
        found: dict[str, SequenceUse] = {}
        for name, own in self._own(names).items():
            member = self.members[name]
            if isinstance(member, KnowsSequences):
                for sequence, use in member.sequence_uses(own).items():
                    column = use.column and name_of(name, use.column)
                    found[name_of(name, sequence)] = use._replace(column=column)
        return found

    def large_objects(self) -> int:
        return sum(m.large_objects() for m in self.members.values() if isinstance(m, KnowsLargeObjects))

    def weak_spots(self) -> list[WeakSpot]:
        return [
            spot._replace(identity=name_of(name, spot.identity), table=name_of(name, spot.table))
            for name, found in self._each(weak_spots_of)
            for spot in found
        ]

    def _own(self, tables: Iterable[str]) -> dict[str, list[str]]:
        """Tables by the member that they are in, as it calls them."""
        found: dict[str, list[str]] = {}
        for table in tables:
            name, _, own = table[1:].partition(".") if table.startswith("@") else (MAIN, "", table)
            if name in self.members:
                found.setdefault(name, []).append(own)
        return found

    def size(self) -> int:
        return sum(size for _, size in self._each(lambda member: member.size()))

    # -- who else is there

    @contextmanager
    def lock(self, run_id: str, timeout: float) -> Iterator[Lock]:
        with ExitStack() as stack:
            yield _Locks([stack.enter_context(m.lock(run_id, timeout)) for m in self.members.values()])

    def sessions_of(self, application_prefix: str) -> list[str]:
        return [words for m in self.members.values() for words in m.sessions_of(application_prefix)]

    def blockers(self) -> list[str]:
        return [words for member in self.members.values() for words in member.blockers()]

    def hindrances(self, wanted: Mapping[str, str], age: float) -> list[Hindrance]:
        owned = self._own(wanted)
        found = []
        for name, member in self.members.items():
            if isinstance(member, WatchesTraffic):
                own = {table: wanted[name_of(name, table)] for table in owned.get(name, ())}
                found += member.hindrances(own, age)
        return found

    def waits(self, application: str) -> list[str]:
        watching = [m for m in self.members.values() if isinstance(m, WatchesTraffic)]
        return [words for member in watching for words in member.waits(application)]

    def commit_outcome(self, transaction: str) -> bool | None:
        """By `NAME/ID`, as the child writes it for all but the main one."""
        name, _, own = transaction.partition("/")
        member = self.members.get(name)
        return member.commit_outcome(own) if member is not None else self._main.commit_outcome(transaction)

    def limit_statements(self, connection: Any, seconds: float) -> None:
        """For sessions of `engine`."""
        if isinstance(self._main, LimitsStatements):
            self._main.limit_statements(connection, seconds)

    # -- the dry run

    @contextmanager
    def meter(self) -> Iterator[Meter]:
        with ExitStack() as stack:
            measuring = {n: m for n, m in self.members.items() if isinstance(m, Measures)}
            yield Meters({name: stack.enter_context(member.meter()) for name, member in measuring.items()})

    # -- the rollback path

    def undo_statements(self, added: Sequence[Collection[str]]) -> list[str]:
        """Those of other databases than the main one begin with a comment that names it: `/* @NAME */ DROP ...`."""
        found = []
        for name, member in self.members.items():
            own = [[key_of(name, key) for key in batch] for batch in added]
            batches = [[key for key in batch if key] for batch in own]
            found += [
                mark(name, s) for s in undoes_additions(member).undo_statements([b for b in batches if b])
            ]
        return found

    def undo(
        self, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
    ) -> None:
        """Where there are transactions, all of them are open when `check` is asked."""
        members = list(self.members.items())
        schemas: dict[str, Schema] = {}

        def undo(number: int) -> None:
            if number == len(members):
                check(together(schemas))
                return
            name, member = members[number]
            own = [s for s in (unmark(name, statement) for statement in statements) if s]

            def then(schema: Schema) -> None:
                schemas[name] = schema
                undo(number + 1)

            if own:
                undoes_additions(member).undo(own, lambda statement: before(mark(name, statement)), then)
            else:
                then(member.schema())

        undo(0)

    def beyond_default(self, table: str, column: str) -> int:
        ((name, (own,)),) = self._own([table]).items()
        member = self.members[name]
        return undoes_additions(member).beyond_default(own, column)

    # -- copies

    def dump(
        self, into: Path, version_tables: Sequence[VersionTable], progress: Progress = no_progress
    ) -> Dumped:
        parts: dict[str, Dumped] = {}
        heads: dict[VersionTable, tuple[str, ...]] = {}
        for name, member in self.members.items():
            own = [table for table in version_tables if table.database == name]
            folder = _folder(into, name)
            folder.mkdir()
            parts[name] = member.dump(folder, own, progress)
            heads.update(zip(own, parts[name].heads or member.heads(own), strict=True))
        main = parts[MAIN]
        return Dumped(
            schema=together({name: part.schema for name, part in parts.items()}),
            row_counts={
                name_of(n, t): count for n, part in parts.items() for t, count in part.row_counts.items()
            },
            contents={name_of(n, t): held for n, part in parts.items() for t, held in part.contents.items()},
            samples={name_of(n, t): taken for n, part in parts.items() for t, taken in part.samples.items()},
            sequences={name_of(n, s): at for n, part in parts.items() for s, at in part.sequences.items()},
            not_digested={
                name_of(n, t): w for n, part in parts.items() for t, w in part.not_digested.items()
            },
            exceptions=tuple(
                (add_prefix(n, key), why) for n, part in parts.items() for key, why in part.exceptions
            ),
            engine_version=main.engine_version,
            tool_version=main.tool_version,
            how_to_restore=" ".join(
                f"{name or 'The main database'}, from the folder {_folder(Path(), name)}: {part.how_to_restore}"
                for name, part in parts.items()
            ),
            heads=tuple(heads[table] for table in version_tables),
            secrets=tuple(secret for part in parts.values() for secret in part.secrets),
            unpacked=sum(part.unpacked for part in parts.values()),
        )

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        for name, member in self.members.items():
            member.load(self._payload(payload, name), progress, most=most)

    def why_different(self, name: str) -> str:
        each = ((key_of(n, name), m) for n, m in self.members.items() if isinstance(m, KnowsLacks))
        return next((member.why_different(own) for own, member in each if own), "")

    def _payload(self, payload: Path, name: str) -> Path:
        folder = _folder(payload, name)
        if not folder.is_dir():
            raise BackupError(
                f"The backup does not hold {f'databases.{name}' if name else 'the main database'}.",
                hint="`databases` was another one when it was taken: look at its manifest.",
            )
        return folder

    @contextmanager
    def scratch(self, run_id: str, folder: Path) -> Iterator[Database]:
        with ExitStack() as stack:
            copies = {
                name: stack.enter_context(member.scratch(_number(run_id, number), folder))
                for number, (name, member) in enumerate(self.members.items())
            }
            yield CompositeDatabase(copies)

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:
        kept = [_number(run_id, number) for run_id in keep for number in range(len(self.members))]
        return list(dict.fromkeys(name for m in self.members.values() for name in m.sweep(kept)))

    def replace(
        self, payload: Path, check: Callable[[Database], None], label: str, *, most: int | None = None
    ) -> str:
        members = list(self.members.items())
        restored: dict[str, Database] = {}
        swapped: dict[str, str] = {}

        def restore(number: int) -> None:
            """Restore the members from this one on; the last one is swapped first, once all of them were checked."""
            if number == len(members):
                check(CompositeDatabase(restored))
                return
            name, member = members[number]

            def beside(copy: Database) -> None:
                restored[name] = copy
                restore(number + 1)

            swapped[name] = member.replace(self._payload(payload, name), beside, label, most=most)

        try:
            restore(0)
        except CiMigrateError as error:
            if not swapped:
                raise
            left = ", ".join(self.members[n].identity().place for n in self.members if n not in swapped)
            raise DirtyError(
                error.what,
                state=f"Restored already: {' '.join(swapped.values())} As they were: {left}.",
                hint="The same restore again brings the others back too.",
            ) from error
        return " ".join(swapped[name] for name in self.members)

    def settle_replace(self, label: str) -> bool | None:
        each = [m.settle_replace(label) for m in self.members.values() if isinstance(m, SettlesReplace)]
        return None if len(set(each)) > 1 else bool(each and each[0])

    def replaced(self) -> list[str]:
        each = ((n, m) for n, m in self.members.items() if isinstance(m, KeepsReplaced))
        return [name_of(name, kept) for name, member in each for kept in member.replaced()]

    def drop_replaced(self, name: str) -> None:
        for owner, own in ((o, n) for o, names in self._own([name]).items() for n in names):
            member = self.members[owner]
            if isinstance(member, KeepsReplaced):
                member.drop_replaced(own)
                return
        raise DatabaseError(f"No restore kept {name}.")

    # -- what they need

    def scratch_room(self, folder: Path) -> tuple[str, int] | None:
        """The place with the least room: all may go there."""
        found = [m.scratch_room(folder) for m in self.members.values() if isinstance(m, KnowsRoom)]
        return min((place for place in found if place is not None), key=lambda p: p[1], default=None)

    def refuse_scratch(self) -> None:
        for member in self.members.values():
            if isinstance(member, KnowsRights):
                member.refuse_scratch()

    def client_programs(self) -> str:
        return self._main.client_programs() if isinstance(self._main, KnowsTools) else ""

    def explain(self, error: BaseException) -> str:
        return self._main.explain(error)


def descriptors(lock: Lock | None) -> tuple[int, ...]:
    """What a child inherits of a run lock, where that is a file: of several databases, of each."""
    locks = lock.locks if isinstance(lock, _Locks) else () if lock is None else (lock,)
    return tuple(one.fd for one in locks if one.fd is not None)


class _Locks:
    """The run locks of all of them."""

    def __init__(self, locks: Sequence[Lock]) -> None:
        self.locks = tuple(locks)

    @property
    def fd(self) -> int | None:
        """The main one's."""
        return self.locks[0].fd

    def check(self) -> None:
        for lock in self.locks:
            lock.check()


def _folder(payload: Path, name: str) -> Path:
    """Where a member's dump is; no name in the settings begins with `_`."""
    return payload / (name or "_main")


def _number(run_id: str, number: int) -> str:
    return f"{run_id}_{number}" if number else run_id

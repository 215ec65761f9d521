"""A quick look at the databases of a fleet: heads, schema, unfinished runs. Plain SQL; Alembic is not started."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from enum import StrEnum
from threading import BoundedSemaphore

import msgspec

from ci_migrate.databases.base import Database, DatabaseFactory, SessionOptions
from ci_migrate.errors import CiMigrateError, LockedError, UsageError
from ci_migrate.fleet.members import Member
from ci_migrate.ledger.fleets import FleetTarget
from ci_migrate.ledger.glance import find_unfinished
from ci_migrate.migrations.graph import graph_of
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.migrations.launch import launch
from ci_migrate.migrations.requests import project_setup
from ci_migrate.migrations.runner import Workers
from ci_migrate.model import Direction, Fingerprint, Frozen, VersionTable
from ci_migrate.plugins import manager as plugins
from ci_migrate.session import create_manager
from ci_migrate.settings.secrets import Secrets
from ci_migrate.settings.settings import Settings

AT_ONCE = 8
"""Databases that are looked at at a time."""

WAIT = 1.0
"""Seconds that a look waits for somebody's lock."""


class Place(StrEnum):
    """Where a database of a fleet is, the worst last. The words are those that people read."""

    AT_HEAD = "at head"
    BEHIND = "behind"
    DRIFTED = "drifted"
    UNKNOWN = "unknown revision"
    RUNNING = "running"
    UNFINISHED = "unfinished run"
    UNREACHABLE = "unreachable"


class Seen(Frozen, frozen=True, kw_only=True):
    """One database as it was seen. `schema` is the digest of its fingerprint."""

    name: str
    place: str
    server: str
    state: Place
    heads: tuple[str, ...] = ()
    schema: str = ""
    words: str = ""  # what is wrong with it


class Scripts(Frozen, frozen=True, kw_only=True):
    """What the scripts have: their heads, all revisions, and the files of those, env.py among them."""

    heads: tuple[str, ...]
    revisions: frozenset[str]
    files: tuple[str, ...] = ()


def read_scripts(settings: Settings, interrupt: Interrupt | None = None) -> Scripts:
    """The revision graph, by one child of Alembic's for the whole fleet; env.py is not run. Raises CiMigrateError."""
    with Workers(launch(settings), interrupt) as workers:
        graph = graph_of(workers, project_setup(settings, Direction.UPGRADE, settings.to))
    return Scripts(
        heads=tuple(sorted(graph.heads)),
        revisions=frozenset(r.id for r in graph.revisions),
        files=(graph.env_file, *(r.file for r in graph.revisions)),
    )


def look_at_all(
    settings: Settings,
    members: Sequence[Member],
    scripts: Scripts,
    told: Callable[[int], None] = lambda _done: None,
    interrupt: Interrupt | None = None,
    known: Iterable[FleetTarget] = (),
) -> tuple[Seen, ...]:
    """Look at all of them, a few at a time and on one server no more than `fleet-per-server`.

    `known` is what is written down of the fleet, for `judge`.
    `told` is called with how many were looked at. After a signal no further one is: what is returned then says nothing.
    """
    look = Look(settings)
    servers = {
        m.server: BoundedSemaphore(settings.fleet_per_server if m.server else AT_ONCE) for m in members
    }
    found = []

    def one(member: Member) -> Seen:
        if interrupt is not None and interrupt.number is not None:
            return look.nothing(member)
        with servers[member.server]:
            return look.at(member)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        for seen in threads.map(one, members):
            found.append(seen)
            told(len(found))
    return judge(found, scripts, settings.fleet_canary, known)


class Look:
    """Looks at one database after another; what is equal in many of them is worked out once."""

    def __init__(self, settings: Settings) -> None:
        schema, _, name = settings.fleet_version_table.rpartition(".")
        self._table = VersionTable(name=name, schema=schema or None)
        self._options = SessionOptions(application_name="ci-migrate fleet", lock_timeout=WAIT)
        manager = create_manager(settings)
        factories: list[DatabaseFactory] = plugins.collect(manager, "ci_migrate_databases")
        self._factories = {backend: factory for factory in factories for backend in factory.backends}

    def nothing(self, member: Member) -> Seen:
        """Of one that nobody has looked at."""
        return Seen(name=member.name, place=member.place, server=member.server, state=Place.BEHIND)

    def at(self, member: Member) -> Seen:
        """What is seen of one; whatever goes wrong is what is seen."""
        base = self.nothing(member)
        try:
            return self._at(member, base)
        except CiMigrateError as error:
            words = error.what
        except Exception as error:  # noqa: BLE001 - one broken database, driver or plugin is one line of many
            words = f"{type(error).__name__}: {error}"
        # its own registry: one with the passwords of ten thousand databases would take a second for each text
        secrets = Secrets()
        secrets.add_url(member.url.reveal())
        words = " ".join(secrets.hide(words).split())
        return msgspec.structs.replace(base, state=Place.UNREACHABLE, words=words)

    def holder(self, member: Member) -> str:
        """Who holds the run lock of one, in words; "" for nobody, and where that can't be told."""
        with suppress(Exception):  # one broken database, driver or plugin: `at` says what is wrong
            return _holder(self._database(member))
        return ""

    def _database(self, member: Member) -> Database:
        url = member.parsed
        factory = self._factories.get(url.get_backend_name())
        if factory is None:
            raise UsageError(f"Databases of the kind {url.get_backend_name()} are not supported.")
        return factory.make(url, self._options)

    def _at(self, member: Member, base: Seen) -> Seen:
        database = self._database(member)
        if database.capabilities.lock_is_file and not database.size():
            # for one target that is an empty database; in a list of thousands it is a name that is wrong
            return msgspec.structs.replace(
                base, state=Place.UNREACHABLE, words="there is no such file, or it is empty"
            )
        database.ping()
        ((*heads,),) = database.heads([self._table])
        seen = msgspec.structs.replace(base, heads=tuple(heads))
        identity = database.identity() if database.capabilities.remote else None
        run_id = find_unfinished(member.parsed, identity)
        at_work = _holder(database) if run_id else ""
        if (
            at_work
        ):  # its schema is on its way, and behind the locks of the migration: PostgreSQL waits to tell it
            return msgspec.structs.replace(seen, state=Place.RUNNING, words=at_work)
        seen = msgspec.structs.replace(seen, schema=Fingerprint.of(database.schema()).digest)
        if not run_id:
            return seen
        return msgspec.structs.replace(seen, state=Place.UNFINISHED, words=f"run {run_id} did not end")


def _holder(database: Database) -> str:
    """Who holds its run lock; "" for nobody."""
    try:
        with database.lock(f"fleet-{os.getpid()}", 0):
            return ""
    except LockedError as error:
        return error.what


def judge(
    found: Sequence[Seen], scripts: Scripts, canary: str | None = None, known: Iterable[FleetTarget] = ()
) -> tuple[Seen, ...]:
    """Say of each where it is: by the scripts, and by the schema that those at the same revision should have.

    That is the canary's where one is named, else the one that most of them have, or had when they were there.
    """
    usual = usual_schemas(found, known, canary)
    return tuple(_judged(seen, scripts, usual) for seen in found)


def usual_schemas(
    found: Sequence[Seen], known: Iterable[FleetTarget] = (), canary: str | None = None
) -> dict[tuple[str, ...], str]:
    """By heads, the canary's schema, or that which more databases have or had there than any other.

    Of equally many it is the first one. What a run has left in its middle is not what others should have.
    `known`, in the order in which it was written, counts for databases that are elsewhere now, or are not looked at.
    """
    by_heads: dict[tuple[str, ...], dict[str, str]] = {}
    written = (
        (target.name, heads, schema)
        for target in known
        for heads, schema in ((target.heads, target.schema), (target.heads_after, target.schema_after))
    )
    there = ((seen.name, seen.heads, seen.schema) for seen in found if seen.state is Place.BEHIND)
    for name, heads, schema in (*written, *there):
        if schema:
            by_heads.setdefault(heads, {})[name] = schema
    return {
        heads: names.get(canary or "") or Counter(names.values()).most_common(1)[0][0]
        for heads, names in by_heads.items()
    }


def _judged(seen: Seen, scripts: Scripts, usual: Mapping[tuple[str, ...], str]) -> Seen:
    if seen.state is not Place.BEHIND:
        return seen
    unknown = [head for head in seen.heads if head not in scripts.revisions]
    if unknown:
        words = f"the scripts do not have {', '.join(unknown)}"
        return msgspec.structs.replace(seen, state=Place.UNKNOWN, words=words)
    if not seen.schema or seen.schema != usual.get(seen.heads):
        words = f"its schema differs from that of the others at {show(seen.heads)}"
        return msgspec.structs.replace(seen, state=Place.DRIFTED, words=words)
    at_head = tuple(sorted(seen.heads)) == scripts.heads
    return msgspec.structs.replace(seen, state=Place.AT_HEAD if at_head else Place.BEHIND)


def show(heads: Sequence[str]) -> str:
    """Heads for people."""
    return " + ".join(heads) or "base"

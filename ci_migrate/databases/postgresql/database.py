"""PostgreSQL 13 and later: the catalog by SQL, copies by pg_dump and pg_restore, restores by rename."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from ci_migrate.databases.base import (
    Capabilities,
    Database,
    Dumped,
    Lock,
    Progress,
    SequenceUse,
    Unless,
    Wall,
    no_progress,
)
from ci_migrate.databases.measuring import Meter
from ci_migrate.databases.names import BEFORE, fit_name
from ci_migrate.databases.postgresql import copies, mark, own_server, shared, traffic
from ci_migrate.databases.postgresql import measure as postgresql_measure
from ci_migrate.databases.postgresql import undo as postgresql_undo
from ci_migrate.databases.postgresql.archive import default_jobs
from ci_migrate.databases.postgresql.baseline import PostgreSQLBaselines
from ci_migrate.databases.postgresql.catalog import LEDGER_SCHEMA, pin, read_schema, unpin
from ci_migrate.databases.postgresql.dump import Job, write_dump
from ci_migrate.databases.postgresql.guard import guarded_for, lift_guard, put_guard
from ci_migrate.databases.postgresql.kept import Kept
from ci_migrate.databases.postgresql.lacks import Lacks
from ci_migrate.databases.postgresql.load import gather_statistics, load_dump
from ci_migrate.databases.postgresql.lock import NO_LIMITS, blockers, lock_key, run_lock, sessions
from ci_migrate.databases.postgresql.rows import (
    list_tables,
    read_content,
    read_counts,
    read_heads,
    with_columns,
)
from ci_migrate.databases.postgresql.sequences import read_uses
from ci_migrate.databases.postgresql.sessions import Access, libpq_parameters
from ci_migrate.databases.postgresql.snapshot import AT_ONCE, in_parts
from ci_migrate.databases.postgresql.tables import replace_rows
from ci_migrate.databases.postgresql.told import meet, read_told
from ci_migrate.databases.postgresql.tools import name_tools
from ci_migrate.databases.postgresql.unseen import read_sequences
from ci_migrate.databases.postgresql.usable import refuse_unusable
from ci_migrate.databases.postgresql.weak_spots import weak_spots
from ci_migrate.databases.traffic import Hindrance
from ci_migrate.databases.weak_spots import WeakSpot
from ci_migrate.errors import DatabaseError, UsageError
from ci_migrate.model import Identity, RowCount, Sample, Schema, TableContent, VersionTable

if TYPE_CHECKING:
    import psycopg


class PostgreSQL:
    """One database of a PostgreSQL server. See `base.Database` for what each method promises.

    Args:
        url: `postgresql://`, with any driver; sessions of our own use psycopg 3.
        application_name: the name of our sessions, as `pg_stat_activity` shows it.
        client_tools: the folder of pg_dump and pg_restore; None looks in the usual places.
        lock_timeout: seconds to wait for other sessions' locks.
        statement_timeout: seconds that a statement may take; None for no limit.
        lock_url: a database to hold the run lock in, in the place of `postgres` on the target's server. All runners
            must name the same one, and it must exist: two that lock in different databases don't see each other.
        jobs: how many tables are dumped and restored at a time; None for as many as there are cores, at most 4.
        compare_budget: seconds that digests may take after a dump; None: see `digests.seconds_for`.

    Raises:
        UsageError: psycopg 3 is not installed.
    """

    dialect = "postgresql"
    capabilities = Capabilities(
        transactional_ddl=True, lock_is_file=False, scratch_on_server=True, remote=True, tables=True
    )

    def __init__(
        self,
        url: URL,
        *,
        application_name: str = "ci-migrate",
        client_tools: str | None = None,
        lock_timeout: float = 5.0,
        statement_timeout: float | None = None,
        lock_url: URL | None = None,
        jobs: int | None = None,
        compare_budget: float | None = None,
    ) -> None:
        self.url = url
        self.client_tools = client_tools
        settings = {
            "lock_timeout": f"{lock_timeout * 1000:.0f}",
            **({"statement_timeout": f"{statement_timeout * 1000:.0f}"} if statement_timeout else {}),
        }
        self._lock_timeout = lock_timeout
        self._jobs = jobs or default_jobs()
        self._compare_budget = compare_budget
        self._access = Access(libpq_parameters(url), application_name, settings)
        self._lock_access = (
            Access(libpq_parameters(lock_url), application_name, settings) if lock_url else None
        )
        self._is_copy = False
        self._lacks = Lacks()
        self._copied = self

    def __repr__(self) -> str:
        return f"PostgreSQL({self._access.place!r})"

    def engine(self, *, read_only: bool = False) -> Engine:
        url = URL.create(
            "postgresql+psycopg", username=self._access.user or None, database=self._access.database
        )
        arguments = self._access.arguments(read_only=read_only)
        return create_engine(url, connect_args=arguments, poolclass=NullPool, use_native_hstore=False)

    def limit_statements(self, connection: Any, seconds: float) -> None:
        connection.exec_driver_sql(f"SET statement_timeout = {seconds * 1000:.0f}")

    # ------------------------------------------------------------------ what is it

    def ping(self) -> None:
        refuse_unusable(self._access)

    def identity(self) -> Identity:
        facts = {
            "host": self._access.host,
            "port": self._access.parameters["port"],
            "database": self._access.database,
            **{name: value for name, value in self._told().items() if name != "started"},
        }
        return Identity(dialect=self.dialect, place=self._access.place, facts=facts)

    def _told(self) -> dict[str, str]:
        return read_told(self._access)

    def is_same(self, other: Database) -> bool:
        return isinstance(other, PostgreSQL) and meet(self._access, other._access)  # noqa: SLF001

    def replicates(self, primary: Database) -> bool:
        """A standby has the identifier and the oids of its primary; so has a copy of it that was promoted."""
        if not isinstance(primary, PostgreSQL):
            return False
        here, there = self._told(), primary._told()  # noqa: SLF001
        equal = {name for name, fact in here.items() if fact and fact == there[name]}
        if {"oid", "started"} <= equal:
            return True  # one server under two addresses
        with self._access.session(read_only=True) as connection:
            row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
        return {"oid", "system_identifier"} <= equal and row is not None and bool(row[0])

    def read_mark(self) -> str:
        return mark.read(self._access)

    def write_mark(self, text: str) -> None:
        try:
            mark.write(self._access, text)
        except DatabaseError as error:
            raise DatabaseError(
                f"Role {self._access.user} can't mark {self._access.place}: {error.what}",
                hint=f"Let the database's owner run, then again: {mark.statement_of(self._access, text)};",
            ) from error

    def match(self) -> dict[str, str]:
        return self._access.match

    def wall(self) -> Wall:
        self.end_kept_session()  # a child is about to connect: its session may be the last that there is room for
        match = self.match()
        connect = dict(match)
        if "," in match["host"] + match["port"]:  # the one of several hosts that answers
            with self._access.anew.session(read_only=True) as connection:
                there = self._access.same_server(connection).parameters
            connect |= {"host": there["host"], "port": there["port"]}
        return Wall(
            dialect=self.dialect,
            match=match,
            connect=connect,
            identity={"database": self._access.database, **self._told()},
        )

    def size(self) -> int:
        with self._access.session(read_only=True) as connection:
            row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        return int(row[0]) if row else 0

    def explain(self, error: BaseException) -> str:
        return self._access.explain(error)

    @contextmanager
    def keep_session(self) -> Iterator[None]:
        # of several hosts another one may be the right one by now
        if "," in self._access.host + self._access.parameters["port"]:
            yield
            return
        access, kept = self._access, Kept()
        self._access = replace(access, kept=kept)
        try:
            yield
        finally:
            self._access = access
            kept.close()

    def end_kept_session(self) -> None:
        if self._access.kept is not None:
            self._access.kept.close()

    # ------------------------------------------------------------------ what is in it

    @contextmanager
    def _reading(self) -> "Iterator[psycopg.Connection[Any]]":
        """A session in one read-only transaction: all that is read in it is of one moment."""
        with self._access.session(read_only=True) as connection:
            connection.execute(NO_LIMITS.replace("'statement_timeout', ", ""))
            with connection.transaction():
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                yield connection

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        with self._reading() as connection:
            return read_heads(connection, tables)

    def schema(self) -> Schema:
        with self._reading() as connection:
            pin(connection)
            return read_schema(connection)

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:
        with self._reading() as connection:
            pin(connection)
            return read_counts(connection, self._access, tables, exact=exact)

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        with self._reading() as connection:
            pin(connection)
            found = with_columns(connection, list_tables(connection, set(tables)))
            return {
                table.key: read_content(session, table, columns)
                for session, some in in_parts(connection, self._access, found)
                for table, columns in some
            }

    def sample(self, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
        with self._reading() as connection:
            pin(connection)
            unpin(connection)
            found = with_columns(connection, list_tables(connection, samples.keys()))
            return {
                table.key: read_content(session, table, columns, samples[table.key])
                for session, some in in_parts(connection, self._access, found)
                for table, columns in some
            }

    def sequences(self) -> dict[str, str]:
        with self._reading() as connection:
            pin(connection)
            return read_sequences(connection, self._access)

    def sequence_uses(self, names: Collection[str]) -> dict[str, SequenceUse]:
        found: dict[str, SequenceUse] = {}
        wanted = sorted(names)
        for start in range(0, len(wanted), AT_ONCE):
            with self._reading() as connection:  # each keeps its locks until it ends
                pin(connection)
                found |= read_uses(connection, wanted[start : start + AT_ONCE])
        return found

    def large_objects(self) -> int:
        with self._reading() as connection:
            row = connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone()
        return row[0] if row else 0

    def weak_spots(self) -> list[WeakSpot]:
        return weak_spots(self._access)

    def baseline_reader(self) -> PostgreSQLBaselines:
        return PostgreSQLBaselines(self._reading, self._job())

    # ------------------------------------------------------------------ who is in it

    def meter(self) -> AbstractContextManager[Meter]:
        return postgresql_measure.meter(self._access)

    def lock(self, run_id: str, timeout: float) -> AbstractContextManager[Lock]:
        return run_lock(self._lock_access or self._lock_place(), self._access, run_id, timeout)

    def _lock_place(self) -> Access:
        """The database to lock in: `postgres`, where a lock does not hinder a restore by rename.

        The target itself where this role may not connect to that.
        """
        place = self._access.elsewhere("postgres")
        try:
            place.connect().close()
        except DatabaseError:
            return self._access
        return place

    def sessions_of(self, application_prefix: str) -> list[str]:
        with self._access.session(read_only=True) as connection:
            return sessions(connection, self._access.database, application_prefix)

    def write_counters(self) -> dict[str, int]:
        with self._access.session(read_only=True) as connection:
            return shared.write_counters(connection)

    def shared_objects(self) -> dict[str, str]:
        with self._access.session(read_only=True) as connection:
            return shared.shared_objects(connection)

    def blockers(self) -> list[str]:
        with self._access.session(read_only=True) as connection:
            return blockers(connection, self._access.database)

    def hindrances(self, wanted: Mapping[str, str], age: float) -> list[Hindrance]:
        with self._access.session(read_only=True) as connection:
            return traffic.hindrances(connection, wanted, age)

    def waits(self, application: str) -> list[str]:
        with self._access.session(read_only=True) as connection:
            return traffic.waits(connection, application)

    def commit_outcome(self, transaction: str) -> bool | None:
        if not transaction.isdecimal():
            return None
        try:
            with self._access.session(read_only=True) as connection:
                row = connection.execute("SELECT pg_xact_status(%s::xid8)", [transaction]).fetchone()
        except DatabaseError:
            return None  # an id of another cluster, or of a future that this one never had
        return {"committed": True, "aborted": False}.get(row[0]) if row else None

    # ------------------------------------------------------------------ copies

    def dump(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        progress: Progress = no_progress,
        only: Sequence[str] | None = None,
    ) -> Dumped:
        with self._reading() as connection:
            return write_dump(connection, self._job(), into, version_tables, progress, only)

    def dump_tables(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        tables: Sequence[str],
        progress: Progress = no_progress,
    ) -> Dumped:
        return self.dump(into, version_tables, progress, only=tables)

    def scratch_room(self, folder: Path) -> tuple[str, int] | None:  # noqa: ARG002 - on the server
        return copies.room(self._access)

    def client_programs(self) -> str:
        with self._reading() as connection:
            major = connection.info.server_version // 10000
        return name_tools(major, self.client_tools)

    def refuse_scratch(self) -> None:
        copies.refuse_scratch(self._access)

    def new_server(self) -> AbstractContextManager[URL]:
        return own_server.new_server(self._access, self.client_tools)

    def server_on(self, data: Path, within: Path) -> AbstractContextManager[URL]:
        return own_server.server_on(data, within, self._access, self.client_tools)

    def take_tables(self, source: Database, tables: Sequence[str], unless: Unless | None = None) -> None:
        assert isinstance(source, PostgreSQL)
        replace_rows(self._access, source._access, tables, unless)  # noqa: SLF001

    def undo_statements(self, added: Sequence[Collection[str]]) -> list[str]:
        return postgresql_undo.undo_statements(self.schema(), added)

    def undo(
        self, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
    ) -> None:
        with self._access.session() as connection:
            postgresql_undo.run(connection, statements, before, lambda: check(read_schema(connection)))

    def beyond_default(self, table: str, column: str) -> int:
        with self._reading() as connection:
            pin(connection)
            return postgresql_undo.beyond_default(connection, table, column)

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        self._lacks = load_dump(self._job(), payload, progress, copy=self._is_copy, most=most)

    def renew_statistics(self) -> None:
        gather_statistics(self._job())

    def why_different(self, name: str) -> str:
        return self._lacks.why(name)

    # ------------------------------------------------------------------ the guard

    def guard(self, roles: Sequence[str]) -> None:
        put_guard(self._access, self._access.database, roles)

    def lift_guard(self) -> None:
        lift_guard(self._access)

    def guarded(self) -> bool:
        with self._access.session(read_only=True) as connection:
            return guarded_for(connection) is not None

    def _job(self) -> Job:
        return Job(self._access, self.client_tools, self._jobs, self._lock_timeout, self._compare_budget)

    def _at(self, access: Access) -> "PostgreSQL":
        """The same, for another database on this server."""
        other = PostgreSQL(
            self.url.set(database=access.database),
            application_name=access.application_name,
            client_tools=self.client_tools,
            jobs=self._jobs,
        )
        other._access = access
        other._lock_timeout = self._lock_timeout
        other._is_copy = self._is_copy
        return other

    @contextmanager
    def scratch(self, run_id: str, folder: Path) -> Iterator[Database]:  # noqa: ARG002 - no files of its own
        name = copies.SCRATCH + run_id
        if fit_name(name) != name:
            raise UsageError(f"The run id {run_id} is too long for a database's name.")
        roles = copies.Roles.of(self._copied._access)  # noqa: SLF001
        other = roles if roles.migrates != self._access.user else None
        with copies.new_database(self._access, name, twin=False, roles=other) as access:
            copy = self._at(access)
            copy._is_copy = True  # noqa: SLF001
            with copy.keep_session():
                yield copy

    def make_copies_of(self, target: Database) -> None:
        if isinstance(target, PostgreSQL):
            self._copied = target

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:
        return copies.sweep(self._access, keep)

    def replaced(self) -> list[str]:
        return copies.replaced(self._access)

    def drop_replaced(self, name: str) -> None:
        copies.drop_replaced(self._access, name)

    def settle_replace(self, label: str) -> bool | None:
        # both renames are one transaction: where the old one has its new name, the new one has its place
        return copies.is_there(self._access, fit_name(self._access.database, f"{BEFORE}{label}"))

    def replace(
        self, payload: Path, check: Callable[[Database], None], label: str, *, most: int | None = None
    ) -> str:
        kept = fit_name(self._access.database, f"{BEFORE}{label}")
        new = fit_name(self._access.database, f"{copies.NEW}{label}")
        copies.refuse_swap(
            self._access, ledger_schema=LEDGER_SCHEMA, lock_key=lock_key(self._access.database)
        )
        with copies.new_database(self._access, new, twin=True) as access:
            restored = self._at(access)
            restored._lacks = load_dump(restored._job(), payload, owners_needed=True, most=most)  # noqa: SLF001
            check(restored)
            with self._access.session(read_only=True) as connection:
                guarded = guarded_for(connection)
            if guarded is not None:
                put_guard(access, self._access.database, guarded)
            copies.swap(self._access, new, kept)
        place = f'"{kept}" on {self._access.server}'
        return f"The replaced database is kept as {place}. To drop it: ci-migrate backup restore --drop-old"

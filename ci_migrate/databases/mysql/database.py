"""MySQL 8 and MariaDB 10.6 and later: the catalog by SQL, copies by SQL of our own, restores by RENAME TABLE."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from ci_migrate.databases.base import (
    Capabilities,
    Database,
    Dumped,
    Lock,
    Progress,
    Unless,
    Wall,
    no_progress,
)
from ci_migrate.databases.measuring import Meter
from ci_migrate.databases.mysql import changes, copies, mark, own_server, traffic
from ci_migrate.databases.mysql import measure as mysql_measure
from ci_migrate.databases.mysql import undo as mysql_undo
from ci_migrate.databases.mysql.baseline import MySQLBaselines
from ci_migrate.databases.mysql.catalog import quote_name, read_flavour, read_schema
from ci_migrate.databases.mysql.lock import blockers, meet, run_lock, session_marks, sessions
from ci_migrate.databases.mysql.replicas import follows
from ci_migrate.databases.mysql.rows import (
    read_contents,
    read_counts,
    read_heads,
    read_samples,
    read_size,
    read_still,
)
from ci_migrate.databases.mysql.sessions import READ_ONLY, Access, mysql_parameters, open_session
from ci_migrate.databases.mysql.statistics import renew_statistics
from ci_migrate.databases.mysql.tables import replace_rows
from ci_migrate.databases.schema_changes import SchemaReader
from ci_migrate.databases.traffic import Hindrance
from ci_migrate.errors import DatabaseError, RefusedError
from ci_migrate.model import Identity, RowCount, Sample, Schema, TableContent, VersionTable

if TYPE_CHECKING:
    from pymysql.cursors import Cursor

READING = (
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "SET SESSION time_zone = '+00:00'",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
"""One transaction in which all that is read is of one moment; times do not depend on the server's zone."""


OWN_MODE = "SET SESSION sql_mode = ''"
"""As in a dump: PAD_CHAR_TO_FULL_LENGTH makes other texts of the same CHAR."""

CLOCK = 3
"""Seconds by which two looks at the start of one server may differ; `worker.wall` has the same."""


class MySQL:
    """One database of a MySQL or MariaDB server. See `base.Database` for what each method promises.

    Args:
        url: `mysql://` or `mariadb://`, with any driver; sessions of our own use PyMySQL.
        application_name: the name of our sessions, in the comment of each statement of a migration.
        client_tools: the folder of the programs for servers of our own; None looks in the usual places.
        lock_timeout: seconds to wait for other sessions' locks.
        compare_budget: seconds that digests may take after a dump; None: see `digests.seconds_for`.

    Raises:
        UsageError: PyMySQL is not installed, or the URL does not say where it leads.
    """

    dialect = "mysql"
    capabilities = Capabilities(
        transactional_ddl=False, lock_is_file=False, scratch_on_server=True, remote=True, tables=True
    )

    def __init__(
        self,
        url: URL,
        *,
        application_name: str = "ci-migrate",
        client_tools: str | None = None,
        lock_timeout: float = 5.0,
        compare_budget: float | None = None,
    ) -> None:
        self.url = url
        self.client_tools = client_tools
        self.lock_timeout = lock_timeout
        self._compare_budget = compare_budget
        seconds = str(max(1, round(lock_timeout)))
        # not for rows: DDL of our own waits for rows of the server's statistics, which somebody may hold for long
        self._access = Access(mysql_parameters(url), application_name, {"lock_wait_timeout": seconds})
        self._child: Access = self._access  # how a child process logs in
        self._is_copy = False

    def __repr__(self) -> str:
        return f"MySQL({self._access.place!r})"

    def engine(self, *, read_only: bool = False) -> Engine:
        url = URL.create("mysql+pymysql", database=self._access.database)
        engine = create_engine(url, connect_args=self._access.arguments(), poolclass=NullPool)
        event.listen(engine, "do_connect", lambda _dialect, _record, _, given: open_session(**given))
        if read_only:
            event.listen(
                engine, "connect", lambda connection, _record: connection.cursor().execute(READ_ONLY)
            )
        return engine

    def limit_statements(self, connection: Any, seconds: float) -> None:
        # MariaDB counts seconds, MySQL milliseconds
        name, value = ("max_statement_time", f"{seconds:.3f}")
        if not connection.dialect.is_mariadb:
            name, value = ("max_execution_time", f"{seconds * 1000:.0f}")
        connection.exec_driver_sql(f"SET SESSION {name} = {value}")

    # ------------------------------------------------------------------ what is it

    def ping(self) -> None:
        with self._access.session() as cursor:
            flavour = read_flavour(cursor)
            if flavour.version < flavour.oldest:
                raise DatabaseError(
                    f"{self._access.server} is {flavour.name} {flavour.text};"
                    f" {'.'.join(map(str, flavour.oldest))} is the oldest that is supported.",
                    hint="Upgrade the server, or run Alembic by hand.",
                )
            self._refuse_other_spelling(cursor)
            # super_read_only is ON only where read_only is
            cursor.execute("SELECT @@GLOBAL.read_only, CONNECTION_ID()")
            read_only, session = cursor.fetchone() or (0, 0)
            cursor.execute("SELECT CONNECTION_ID()")
            again = (cursor.fetchone() or (0,))[0]
            if str(read_only) not in (
                "0",
                "OFF",
            ):  # newer MariaDB has words: OFF, ON, NO_LOCK, NO_LOCK_NO_ADMIN
                raise DatabaseError(
                    f"{self._access.place} is read-only (a replica, mostly): nothing can be written there.",
                    hint="Give the URL of the primary.",
                )
            ours: int = cursor.connection.thread_id()  # type: ignore[no-untyped-call]
            if not ours == session == again:
                raise DatabaseError(
                    f"{self._access.place} is behind a proxy that shares connections: a lock would not stay with its "
                    "session.",
                    hint="Give the server's own URL, not that of ProxySQL or MaxScale.",
                )

    def _refuse_other_spelling(self, cursor: "Cursor") -> None:
        """Raise DatabaseError where the server writes the database's name otherwise than the URL.

        With lower_case_table_names Shop and shop are one database there: it would have two identities here, and
        databases beside it would not be found by its name.
        """
        name = self._access.database
        # on MariaDB both may come, of two databases
        cursor.execute("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s", [name])
        found = {str(spelled) for (spelled,) in cursor.fetchall()}
        if found and name not in found:
            raise DatabaseError(
                f"{self._access.server} calls the database {found.pop()}, and the URL {name}.",
                hint="Write it in the URL as the server does (there lower_case_table_names is not 0).",
            )

    def identity(self) -> Identity:
        with self._access.session(read_only=True) as cursor:
            self._refuse_other_spelling(cursor)
        facts = {
            "host": self._access.host,
            "port": self._access.parameters["port"],
            "database": self._access.database,
            "server": self._uid(),
        }
        return Identity(dialect=self.dialect, place=self._access.place, facts=facts)

    def _uid(self) -> str:
        """What tells one server from another: the uid that it was given, else where it lives. The worker asks alike."""
        with self._access.session(read_only=True) as cursor:
            cursor.execute(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
                " ('server_uid', 'server_uuid', 'hostname', 'port', 'datadir')"
            )
            found = {str(name): str(value) for name, value in cursor.fetchall()}
        known = found.get("server_uuid") or found.get("server_uid")
        return known or "{hostname}:{port}:{datadir}".format(**found)

    def _started(self) -> int:
        """The second in which the server started, give or take one. Compared within a run alone, as the worker does.

        A server that was copied as files has the same uid.
        """
        with self._access.session(read_only=True) as cursor:
            cursor.execute("SELECT UNIX_TIMESTAMP()")
            now = (cursor.fetchone() or (0,))[0]
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Uptime'")
            uptime = (cursor.fetchone() or ("", 0))[1]
        return int(now) - int(uptime)

    def is_same(self, other: Database) -> bool:
        # `identity` refuses a name that the server spells otherwise
        return (
            isinstance(other, MySQL)
            and self._access.database == other._access.database  # noqa: SLF001
            and meet(self._access, other._access)  # noqa: SLF001
        )

    def replicates(self, primary: Database) -> bool:
        """By the server that it takes its changes from, or the cluster that both belong to. See `replicas.follows`."""
        if not isinstance(primary, MySQL) or self.url.database != primary.url.database:
            return False
        uid, started = primary._uid(), primary._started()  # noqa: SLF001
        if self._uid() == uid and abs(self._started() - started) <= CLOCK:
            return True  # one server under two addresses
        cluster = self._cluster()
        if cluster and cluster == primary._cluster():  # noqa: SLF001
            return True
        return follows(self._access, primary._access, uid)  # noqa: SLF001

    def _cluster(self) -> str:
        """The cluster of Galera or Group Replication that this server belongs to; "" for none."""
        with self._access.session(read_only=True) as cursor:
            cursor.execute(
                "SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_state_uuid'"
                if read_flavour(cursor).mariadb
                else "SHOW GLOBAL VARIABLES WHERE Variable_name = 'group_replication_group_name'"
            )
            return str((cursor.fetchone() or ("", ""))[1] or "")

    def read_mark(self) -> str:
        return mark.read(self._access)

    def write_mark(self, text: str) -> None:
        try:
            mark.write(self._access, text)
        except DatabaseError as error:
            name = quote_name(self._access.database)
            raise DatabaseError(
                f"{self._access.user} can't mark {self._access.place}: {error.what}",
                hint=f"GRANT CREATE VIEW, DROP ON {name}.* TO {self._access.user};  or let somebody else run in "
                f"{name}, then again: {mark.statement_of(text)};",
            ) from error

    def match(self) -> dict[str, str]:
        names = ("host", "port", "database", "user", "password", "unix_socket")
        return {name: self._child.parameters.get(name, "") for name in names}

    def wall(self) -> Wall:
        parts = self.match()
        return Wall(
            dialect=self.dialect,
            match=parts,
            connect=parts,
            identity={
                "database": self._access.database,
                "server": self._uid(),
                "started": str(self._started()),
                "marks": " ".join(session_marks(self._access.database)),
            },
        )

    def size(self) -> int:
        with self._access.session(read_only=True) as cursor:
            return read_size(cursor, self._access.database)

    def explain(self, error: BaseException) -> str:
        return self._access.explain(error)

    # ------------------------------------------------------------------ what is in it

    @contextmanager
    def _reading(self) -> "Iterator[Cursor]":
        with self._access.session(read_only=True) as cursor:
            cursor.execute(read_flavour(cursor).no_statement_limit)
            for statement in READING:
                cursor.execute(statement)
            yield cursor

    def heads(self, tables: Sequence[VersionTable]) -> tuple[tuple[str, ...], ...]:
        with self._reading() as cursor:
            return read_heads(cursor, self._access.database, tables)

    def schema(self) -> Schema:
        with self._reading() as cursor:
            return read_schema(cursor, self._access.database)

    def schema_reader(self) -> AbstractContextManager[SchemaReader]:
        return changes.schema_reader(self._access)

    def counts(self, tables: Iterable[str] | None = None, *, exact: bool = False) -> dict[str, RowCount]:
        with self._reading() as cursor:
            return read_counts(cursor, self._access.database, tables, exact=exact)

    @contextmanager
    def _digesting(self) -> "Iterator[Cursor]":
        with self._reading() as cursor:
            cursor.execute(OWN_MODE)
            yield cursor

    def contents(self, tables: Iterable[str]) -> dict[str, TableContent]:
        if self._is_copy:
            return read_still(self._digesting, self._access.database, tables)
        with self._digesting() as cursor:
            return read_contents(cursor, self._access.database, tables)

    def sample(self, samples: Mapping[str, Sample]) -> dict[str, TableContent]:
        with self._digesting() as cursor:
            return read_samples(cursor, self._access.database, samples)

    def baseline_reader(self) -> MySQLBaselines:
        return MySQLBaselines(self._reading, self._access.database)

    # ------------------------------------------------------------------ who is in it

    def meter(self) -> AbstractContextManager[Meter]:
        return mysql_measure.meter(self._access)

    def lock(self, run_id: str, timeout: float) -> AbstractContextManager[Lock]:
        return run_lock(self._access, run_id, timeout)

    def sessions_of(self, application_prefix: str) -> list[str]:
        with self._access.session(read_only=True) as cursor:
            return sessions(cursor, self._access.database, application_prefix)

    def write_counters(self) -> dict[str, int]:
        with self._access.session(read_only=True) as cursor:
            return mysql_measure.write_counters(cursor, self._access.database)

    def renew_statistics(self) -> None:
        renew_statistics(self._access)

    def blockers(self) -> list[str]:
        with self._access.session(read_only=True) as cursor:
            return blockers(cursor, self._access.database)

    def hindrances(self, wanted: Mapping[str, str], age: float) -> list[Hindrance]:
        with self._access.session(read_only=True) as cursor:
            return traffic.hindrances(cursor, self._access.database, wanted, age)

    def waits(self, application: str) -> list[str]:  # noqa: ARG002 - `blockers` is all that there is to tell
        return []

    def commit_outcome(self, transaction: str) -> bool | None:
        """By the mark that the transaction left beside the ledger: `database:run:position`."""
        database, _, run = transaction.rpartition(":")[0].rpartition(":")
        position = transaction.rpartition(":")[2]
        if not database or not position.isdecimal():
            return None
        name = quote_name(database).replace("%", "%%")
        try:
            with self._access.session(read_only=True) as cursor:
                cursor.execute(
                    f"SELECT 1 FROM {name}.ci_migrate_commits WHERE run_id = %s AND position = %s",
                    [run, int(position)],
                )
                return cursor.fetchone() is not None
        except DatabaseError:
            return None

    # ------------------------------------------------------------------ copies

    @classmethod
    def _copy(cls, original: "MySQL", own: Access, child: Access) -> "MySQL":
        """A scratch copy: sessions of our own use `own`, the child's the account that may go nowhere else."""
        # a login in the query would win over this one
        url = original.url.difference_update_query(("user", "password", "passwd"))
        url = url.set(database=child.database, username=child.user)
        made = cls(
            url.set(password=child.parameters["password"]),
            application_name=own.application_name,
            lock_timeout=original.lock_timeout,
        )
        made._child = made._access
        made._access = own
        made._is_copy = True
        return made

    def dump(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        progress: Progress = no_progress,
        *,
        only: Sequence[str] | None = None,
    ) -> Dumped:
        return copies.dump(
            self._access,
            into,
            version_tables,
            progress,
            lock_timeout=self.lock_timeout,
            compare_budget=self._compare_budget,
            only=only,
        )

    def dump_tables(
        self,
        into: Path,
        version_tables: Sequence[VersionTable],
        tables: Sequence[str],
        progress: Progress = no_progress,
    ) -> Dumped:
        return self.dump(into, version_tables, progress, only=tables)

    def take_tables(self, source: Database, tables: Sequence[str], unless: Unless | None = None) -> None:
        here, there = self.identity(), source.identity()
        if here.facts["server"] != there.facts["server"]:
            raise RefusedError(
                f"The scratch copy is {there.place}, and rows are only taken from one on the target's own server.",
                hint='Set scratch = "server", or restore the whole backup.',
            )
        replace_rows(self._access, there.facts["database"], tables, unless)

    def undo_statements(self, added: Sequence[Collection[str]]) -> list[str]:
        with self._reading() as cursor:
            return mysql_undo.undo_statements(cursor, self._access.database, added)

    def undo(
        self, statements: Sequence[str], before: Callable[[str], None], check: Callable[[Schema], None]
    ) -> None:
        mysql_undo.run(self._access, statements, before, check)

    def beyond_default(self, table: str, column: str) -> int:
        with self._reading() as cursor:
            return mysql_undo.beyond_default(cursor, self._access.database, table, column)

    def load(self, payload: Path, progress: Progress = no_progress, *, most: int | None = None) -> None:
        # a copy by the account that may nothing elsewhere, if it has one
        copies.load(self._child, payload, progress, most=most)

    @contextmanager
    def scratch(self, run_id: str, folder: Path) -> Iterator[Database]:  # noqa: ARG002
        with copies.scratch(self._access, run_id) as child:
            yield MySQL._copy(self, self._access.elsewhere(child.database), child)

    def scratch_room(self, folder: Path) -> tuple[str, int] | None:  # noqa: ARG002 - on the server
        return copies.room(self._access)

    def new_server(self) -> AbstractContextManager[URL]:
        return own_server.new_server(self._access, self.client_tools)

    def server_on(self, data: Path, within: Path) -> AbstractContextManager[URL]:
        return own_server.server_on(data, within, self._access, self.client_tools)

    def sweep(self, keep: Iterable[str] = ()) -> list[str]:
        return copies.sweep(self._access, keep)

    def replace(
        self, payload: Path, check: Callable[[Database], None], label: str, *, most: int | None = None
    ) -> str:
        def check_access(copy: Access) -> None:
            check(MySQL._copy(self, copy, copy))

        return copies.replace(self._access, payload, check_access, label, most=most)

    def settle_replace(self, label: str) -> bool | None:
        return copies.settle_replace(self._access, label)

    def replaced(self) -> list[str]:
        return copies.replaced(self._access)

    def drop_replaced(self, name: str) -> None:
        copies.drop_replaced(self._access, name)

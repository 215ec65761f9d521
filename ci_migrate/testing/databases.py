"""What every database must keep. Subclass `DatabaseConformance`, give it two databases, run pytest.

See `database_samples.DatabaseUnderTest` for what to override.
"""

import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError

from ci_migrate.databases.base import Capabilities, Database, SessionOptions, session
from ci_migrate.errors import DatabaseError, LockedError
from ci_migrate.model import RowCount, TableContent, VersionTable, canonical_json
from ci_migrate.testing.database_copies import CopiesConformance
from ci_migrate.testing.database_samples import (
    ITEMS,
    SECRET,
    another_process,
    changed,
    eventually,
    execute,
    fill,
    holds_the_lock,
    matches,
    query,
    works,
)

__all__ = ["SECRET", "DatabaseConformance"]


def table_named(database: Database, name: str) -> str:
    """What `counts` calls a table of the default schema."""
    (found,) = (known for known in database.counts() if known.rpartition(".")[2] == name)
    return found


class DatabaseConformance(CopiesConformance):
    """Tests of one implementation of `databases.base.Database`."""

    # -------------------------------------------------------------- what it is

    def test_it_is_a_database(self, database: Database) -> None:
        """It has all methods of the protocol, and is of the dialect that its factory serves."""
        assert isinstance(database, Database)
        assert isinstance(database.capabilities, Capabilities)
        assert database.url.get_backend_name() in self.factory.backends

    def test_identity(self, database: Database, other: Database, url: URL) -> None:
        """It is stable, tells two databases apart, and says where they are without a password."""
        identity = database.identity()
        assert identity == self.open(url).identity()
        fill(database)
        assert identity == database.identity()
        assert identity.dialect == database.dialect
        assert other.identity().facts != identity.facts
        assert other.identity().place != identity.place
        assert other.identity().key != identity.key
        assert all(isinstance(fact, str) for fact in identity.facts.values())

    def test_wall(self, database: Database, other: Database) -> None:
        """It is texts that can be sent to the worker, leads to this database and no other, and hides the password."""
        wall, others = database.wall(), other.wall()
        assert wall.dialect == database.dialect
        for part in (wall.match, wall.connect, wall.identity):
            assert part
            assert all(isinstance(value, str) for value in part.values())
        assert wall.match.keys() <= wall.connect.keys()
        assert wall.match != others.match
        assert wall.connect != others.connect
        assert wall.identity != others.identity

    def test_S1_the_password_is_shown_nowhere(self, database: Database, url: URL) -> None:
        """Neither in a repr nor in the identity."""
        shown = f"{database!r} {database.wall()!r} {database.identity()!r} {database.engine()!r}"
        for secret in filter(None, (url.password, str(url.query.get("password", "")))):
            assert str(secret) not in shown
            assert str(secret).encode() not in canonical_json(database.identity())

    def test_ping(self, database: Database) -> None:
        """An empty database is of use."""
        database.ping()
        assert database.schema() == database.schema()
        assert database.counts() == {}
        assert database.size() >= 0

    def test_ping_of_a_database_that_is_not_there(self, unreachable_url: URL) -> None:
        """It is told within seconds, by a DatabaseError with a next step and without the password."""
        started = time.monotonic()
        with pytest.raises(DatabaseError) as caught:
            self.open(unreachable_url).ping()
        assert time.monotonic() - started < 30
        assert caught.value.hint
        assert SECRET not in " ".join(caught.value.lines)

    def test_size(self, database: Database) -> None:
        """It grows with what is in it."""
        before = database.size()
        self.prepare(database)
        assert database.size() > before

    # -------------------------------------------------------------- what is in it

    def test_heads(self, database: Database) -> None:
        """Of several version tables, sorted; nothing where there is none, and none is made by asking."""
        tables = [VersionTable(), VersionTable(name="other_versions"), VersionTable(name="none")]
        before = database.schema()
        assert database.heads(tables) == ((), (), ())
        assert database.heads([]) == ()
        assert database.schema() == before
        for table in tables[:2]:
            execute(database, f"CREATE TABLE {table.name} (version_num VARCHAR(32) NOT NULL)")
        execute(database, "INSERT INTO alembic_version VALUES ('b'), ('a')")
        assert database.heads(tables) == (("a", "b"), (), ())

    def test_schema_shows_each_kind_of_object(self, database: Database) -> None:
        """By its name, with a definition."""
        empty = database.schema()
        self.prepare(database)
        schema = database.schema()
        assert {name.split()[0] for name in schema} >= self.kinds
        for name in ("table *team", "column *team.name", "index *ix_label"):
            assert [known for known in schema if matches({known}, {name})], name
        assert changed(empty, schema) >= schema.keys() - empty.keys()

    def test_schema_shows_each_change_and_nothing_else(self, database: Database) -> None:
        """A change of one object is a change of its entry; rows and sequences are no schema."""
        self.prepare(database)
        before = database.schema()
        for statement, expected in self.changes.items():
            execute(database, statement)
            after = database.schema()
            assert matches(changed(before, after), expected), f"{statement}: {changed(before, after)}"
            before = after

    def test_schema_is_canonical(self, database: Database, other: Database, url: URL) -> None:
        """Read twice or by another process it is equal, and so is that of a table whose columns stand otherwise."""
        self.prepare(database)
        assert database.schema() == self.open(url).schema()
        execute(database, "CREATE TABLE turned (a INTEGER, b INTEGER)", "CREATE TABLE zz (a INTEGER)")
        execute(other, "CREATE TABLE zz (a INTEGER)", "CREATE TABLE turned (b INTEGER, a INTEGER)")
        mine = {name: text for name, text in database.schema().items() if "turned" in name or "zz" in name}
        assert mine == {name: text for name, text in other.schema().items() if name in mine}
        assert len(mine) >= 5

    def test_counts(self, database: Database) -> None:
        """Rows per table: of all, of some, exact where that is asked for."""
        fill(database)
        team, item = table_named(database, "team"), table_named(database, "item")
        counts = database.counts(exact=True)
        assert counts[team] == RowCount(rows=2)
        assert counts[item] == RowCount(rows=len(ITEMS))
        assert database.counts().keys() == counts.keys()
        assert database.counts([team, "none"], exact=True) == {team: RowCount(rows=2)}
        assert database.counts([]) == {}
        assert all(f"table {name}" in database.schema() for name in counts)

    def contents_of(self, database: Database, *rows: str) -> TableContent:
        """What a table with these rows holds."""
        execute(
            database,
            "CREATE TABLE t (a INTEGER, b VARCHAR(20))",
            *(f"INSERT INTO t VALUES {row}" for row in rows),
        )
        return database.contents([table_named(database, "t")])[table_named(database, "t")]

    def test_contents_do_not_depend_on_order(self, database: Database, other: Database) -> None:
        """Neither of rows nor of columns; tables that are missing are left out."""
        one = self.contents_of(database, "(1, 'x')", "(2, NULL)", "(2, NULL)")
        execute(other, "CREATE TABLE t (b VARCHAR(20), a INTEGER)")
        execute(other, "INSERT INTO t (a, b) VALUES (2, NULL), (2, NULL), (1, 'x')")
        name = table_named(other, "t")
        assert other.contents([name, "none"]) == {name: one}
        assert (one.rows, one.columns["a"].values, one.columns["b"].values) == (3, 3, 1)
        assert one.digest

    @pytest.mark.parametrize(
        "rows",
        [
            ["(1, 'x')", "(2, NULL)"],
            ["(1, 'x')", "(2, NULL)", "(2, NULL)", "(2, NULL)"],
            ["(1, 'x')", "(2, NULL)", "(3, NULL)"],
            ["(2, 'x')", "(1, NULL)", "(2, NULL)"],
            ["(1, 'x')", "(2, '')", "(2, NULL)"],
            ["(1, 'X')", "(2, NULL)", "(2, NULL)"],
            ["(1, 'x ')", "(2, NULL)", "(2, NULL)"],
            ["(1, 'x')", "(2, 'NULL')", "(2, NULL)"],
        ],
    )
    def test_contents_show_every_difference(
        self, database: Database, other: Database, rows: Sequence[str]
    ) -> None:
        """A row more or less, a value changed, swapped, or NULL."""
        one = self.contents_of(database, "(1, 'x')", "(2, NULL)", "(2, NULL)")
        assert self.contents_of(other, *rows).digest != one.digest

    # -------------------------------------------------------------- sessions

    def test_a_read_only_session_can_not_write(self, database: Database) -> None:
        """Neither rows nor schema."""
        fill(database)
        before = database.schema(), database.counts(exact=True)
        for statement in (
            "DELETE FROM item",
            "CREATE TABLE written (id INTEGER)",
            "UPDATE team SET name = 'x'",
        ):
            with session(database, read_only=True) as connection, pytest.raises(SQLAlchemyError):
                connection.exec_driver_sql(statement)
                connection.commit()
        assert (database.schema(), database.counts(exact=True)) == before

    def test_explain(self, database: Database) -> None:
        """One line that says what is wrong, without the values of rows."""
        fill(database)
        execute(database, f"INSERT INTO team (id, name) VALUES (7, '{SECRET}')")
        with session(database) as connection, pytest.raises(SQLAlchemyError) as caught:
            connection.execute(text("INSERT INTO team (id, name) VALUES (7, :name)"), {"name": SECRET})
        words = database.explain(caught.value)
        assert words
        assert "\n" not in words
        assert SECRET not in words

    def test_the_capability_transactional_ddl(self, database: Database) -> None:
        """A transaction that is rolled back leaves nothing of a CREATE TABLE, if that is claimed, and only then."""
        fill(database)
        before = database.schema()
        with session(database) as connection:
            connection.exec_driver_sql("INSERT INTO team (id, name) VALUES (8, 'eight')")
            connection.exec_driver_sql("CREATE TABLE half (id INTEGER)")
            connection.rollback()
        rows = query(database, "SELECT id FROM team WHERE id = 8")
        if database.capabilities.transactional_ddl:
            assert (database.schema(), rows) == (before, [])
        else:
            assert database.schema() != before

    def test_sessions_of(self, database: Database, url: URL) -> None:
        """Those at work under a name are told, and none when they have ended."""
        name = f"ci-migrate/{os.getpid()}"
        assert database.sessions_of(name) == []
        if self.slow_statement is None:
            return
        statement = self.slow_statement.replace("NAME", name)
        with another_process(works, self.factory, url, name, statement):
            found = eventually(lambda: database.sessions_of(name))
            assert len(found) == 1
            assert re.search(r"\d+", found[0])
            assert database.sessions_of(f"{name}-other") == []

    def test_blockers(self, database: Database, url: URL) -> None:
        """Other people inside a transaction are told, and nobody else."""
        fill(database)
        assert database.blockers() == []
        if self.slow_statement is None:
            return
        with another_process(
            works, self.factory, url, "somebody", "UPDATE team SET name = 'blocked' WHERE id = 1"
        ):
            assert eventually(database.blockers)
            with suppress(SQLAlchemyError):
                query(database, "SELECT 1")

    def test_commit_outcome_of_nonsense(self, database: Database) -> None:
        """Nobody knows."""
        assert database.commit_outcome("") is None
        assert database.commit_outcome("no transaction") is None

    # -------------------------------------------------------------- the run lock

    def test_L1_one_holds_the_lock(self, database: Database, other: Database, url: URL) -> None:
        """The next one waits for as long as it was told, then hears who holds it; other databases are free."""
        with database.lock("run-one", 0) as lock:
            lock.check()
            assert (lock.fd is not None) == database.capabilities.lock_is_file
            started = time.monotonic()
            with pytest.raises(LockedError) as caught, self.open(url).lock("run-two", 0.5):
                pytest.fail("it was held twice")
            assert 0.5 <= time.monotonic() - started < 10
            assert re.search(r"\d", caught.value.what), "it names the holder"
            assert caught.value.hint
            with other.lock("run-three", 0):
                pass
        with self.open(url).lock("run-two", 0) as lock:
            lock.check()

    def test_the_lock_waits_for_its_turn(self, database: Database, url: URL) -> None:
        """As long as it was told to."""
        order = []

        def wait() -> None:
            with self.open(url).lock("second", 30):
                order.append("second")

        thread = threading.Thread(target=wait)
        with database.lock("first", 0):
            thread.start()
            time.sleep(0.5)
            order.append("first")
        thread.join(30)
        assert order == ["first", "second"]

    def test_L3_the_lock_of_a_killed_process_is_free(self, database: Database, url: URL) -> None:
        """As soon as it is dead, and not before."""
        with (
            another_process(holds_the_lock, self.factory, url, "killed", None),
            pytest.raises(LockedError),
            database.lock("next", 0.3),
        ):
            pytest.fail("it was held twice")
        with database.lock("next", 10) as lock:
            lock.check()

    def test_L6_a_lost_lock_is_noticed(self, database: Database) -> None:
        """By check()."""
        with pytest.raises(LockedError), database.lock("lost", 0) as lock:
            lock.check()
            self.lose_lock(database, "lost")
            lock.check()

    def test_the_lock_is_freed_after_an_error(self, database: Database) -> None:
        """And the error is the news."""
        with pytest.raises(ZeroDivisionError), database.lock("one", 0):
            raise ZeroDivisionError
        with database.lock("two", 0):
            pass

    def test_another_session_in_a_transaction_does_not_hinder_reading(
        self, database: Database, url: URL
    ) -> None:
        """Somebody who reads hinders nobody."""
        fill(database)
        with session(self.open(url)) as connection:
            connection.execute(text("SELECT * FROM team")).fetchall()
            assert database.schema()
            assert database.counts()
            with self.factory.make(url, SessionOptions()).lock("beside", 0):
                pass

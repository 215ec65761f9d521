"""What every database must keep when it is copied: dumps, loads, scratch copies, restores into its place."""

from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import pytest

from ci_migrate.databases.base import Database, Dumped, KeepsMark, TakesTables, UndoesAdditions
from ci_migrate.errors import BackupError, CiMigrateError, DatabaseError, RefusedError, ToolError
from ci_migrate.model import Fingerprint, Schema, TableContent, delta
from ci_migrate.testing.database_samples import (
    VERSION_TABLES,
    DatabaseUnderTest,
    another_process,
    eventually,
    execute,
    fill,
    holds_a_scratch_copy,
    query,
    quoted,
)

RUN = "20260131_235959_c0de"
"""A run id, as runs have them."""


def all_contents(database: Database) -> object:
    """What all tables hold."""
    return database.contents(database.counts())


def assert_same_schema(database: Database, copy: Database) -> None:
    """A copy has the same objects, and the same definitions where the engine promises that."""
    ours, theirs = database.schema(), copy.schema()
    assert theirs.keys() == ours.keys()
    if database.capabilities.stable_definitions:
        assert theirs == ours


def says_no(_: Schema) -> None:
    """A check that is not content."""
    raise ZeroDivisionError


ADDITIONS = (
    "CREATE TABLE extra (id INTEGER NOT NULL PRIMARY KEY, label VARCHAR(20))",
    "CREATE UNIQUE INDEX ux_extra ON extra (label)",
    "ALTER TABLE item ADD COLUMN more INTEGER DEFAULT 7",
    "CREATE INDEX ix_more ON item (more)",
    "CREATE VIEW extra_view AS SELECT id, more FROM item",
)


class CopiesConformance(DatabaseUnderTest):
    """Tests of dump, load, scratch, sweep and replace."""

    # -------------------------------------------------------------- dump and load

    def test_a_dump_tells_what_is_in_it(self, database: Database, dumped: Dumped, payload: Path) -> None:
        """The schema, rows and heads of the moment that it shows; and it changes nothing."""
        assert dumped.schema == database.schema()
        assert dumped.row_counts.keys() == database.counts().keys()
        exact = database.counts(exact=True)
        assert all(count == exact[name] for name, count in dumped.row_counts.items() if count.exact)
        assert dumped.heads == (("3f2a",),)
        assert dumped.engine_version
        assert dumped.tool_version
        assert dumped.how_to_restore
        assert [path for path in payload.rglob("*") if path.is_file()]

    def test_V13_a_dump_is_restored_into_another_database(
        self, database: Database, other: Database, dumped: Dumped, payload: Path
    ) -> None:
        """Every object and every row, under another name of the database."""
        other.load(payload)
        assert_same_schema(database, other)
        assert other.counts(exact=True) == database.counts(exact=True)
        assert all_contents(other) == all_contents(database)
        assert other.heads(VERSION_TABLES) == dumped.heads
        sample = "SELECT id, label, price, weight, made, seen, note, data, team_id FROM item ORDER BY id"
        assert query(other, sample) == query(database, sample)

    def test_B22_an_empty_database(self, database: Database, other: Database, payload: Path) -> None:
        """It can be dumped and restored."""
        told = database.dump(payload, VERSION_TABLES)
        assert told.row_counts == {}
        assert told.heads == ((),)
        other.load(payload)
        assert_same_schema(database, other)

    def test_B22_hard_names(self, database: Database, other: Database, payload: Path) -> None:
        """Tables and columns with any name are read, dumped and restored."""
        for number, name in enumerate(self.names):
            table = quoted(database, name)
            execute(
                database,
                f"CREATE TABLE {table} (id INTEGER, {table} INTEGER)",
                f"INSERT INTO {table} VALUES ({number}, NULL)",
            )
        assert len(database.counts()) == len(self.names)
        database.dump(payload, [])
        other.load(payload)
        assert_same_schema(database, other)
        assert all_contents(other) == all_contents(database)
        assert [query(other, f"SELECT id FROM {quoted(other, name)}") for name in self.names] == [
            [(number,)] for number in range(len(self.names))
        ]

    @pytest.mark.usefixtures("dumped")
    def test_V8_a_dump_is_never_restored_over_tables(self, other: Database, payload: Path) -> None:
        """A database that is not empty is refused, and stays as it is."""
        execute(other, "CREATE TABLE mine (id INTEGER)", "INSERT INTO mine VALUES (1)")
        before = other.schema()
        with pytest.raises(BackupError, match="not empty"):
            other.load(payload)
        assert other.schema() == before
        assert query(other, "SELECT id FROM mine") == [(1,)]

    @pytest.mark.usefixtures("dumped")
    @pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "gone"])
    def test_V1_V2_a_damaged_dump_is_refused(self, other: Database, payload: Path, damage: str) -> None:
        """It is never taken for a whole one."""
        largest = max((p for p in payload.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 0xFF
        if damage == "gone":
            largest.unlink()
        else:
            half = data[: len(data) // 2]
            largest.write_bytes({"flipped": bytes(data), "cut": bytes(half), "emptied": b""}[damage])
        with pytest.raises((BackupError, ToolError)):
            other.load(payload)

    # -------------------------------------------------------------- scratch copies

    @pytest.mark.usefixtures("dumped")
    def test_a_scratch_copy(self, database: Database, payload: Path, tmp_path: Path) -> None:
        """It is empty at first, another database than the target, and gone afterwards."""
        before = database.schema(), all_contents(database)
        with database.scratch(RUN, tmp_path / "scratch") as copy:
            assert isinstance(copy, Database)
            assert copy.counts() == {}
            copy.ping()
            assert f"ci_migrate_scratch_{RUN}" in copy.identity().place
            assert copy.identity() != database.identity()
            assert copy.wall().identity != database.wall().identity
            assert copy.capabilities == database.capabilities
            copy.load(payload)
            assert_same_schema(database, copy)
            assert all_contents(copy) == before[1]
            execute(copy, "DELETE FROM item", "DROP TABLE item", "CREATE TABLE more (id INTEGER)")
            assert (database.schema(), all_contents(database)) == before
        with database.scratch(RUN, tmp_path / "scratch") as copy:
            assert copy.counts() == {}
        if database.capabilities.scratch_on_server:
            with pytest.raises(DatabaseError):
                copy.ping()
        else:
            assert list((tmp_path / "scratch").rglob("*")) == []

    def test_a_scratch_copy_is_dropped_after_an_error(self, database: Database, tmp_path: Path) -> None:
        """Whatever happened in it."""
        with pytest.raises(KeyboardInterrupt), database.scratch(RUN, tmp_path) as copy:
            execute(copy, "CREATE TABLE more (id INTEGER)")
            raise KeyboardInterrupt
        with database.scratch(RUN, tmp_path) as copy:
            assert copy.counts() == {}

    def test_a_killed_run_leaves_nothing_for_long(
        self, database: Database, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        """Its scratch copy is swept, unless it is in use or in `keep`."""
        run = f"swept_{abs(hash(request.node.nodeid)) % 10**8}"
        name = f"ci_migrate_scratch_{run}"
        with another_process(holds_a_scratch_copy, self.factory, database.url, run, tmp_path):
            assert name not in database.sweep()
        for _ in range(3):
            assert name not in database.sweep([run])
        if database.capabilities.scratch_on_server:
            assert name in eventually(database.sweep)
        assert name not in database.sweep()
        with database.scratch(run, tmp_path) as copy:
            assert copy.counts() == {}

    @pytest.mark.usefixtures("dumped")
    def test_a_change_is_the_same_change_on_a_copy(
        self, database: Database, payload: Path, tmp_path: Path
    ) -> None:
        """What a dry run tells of a migration is what the target is compared with afterwards."""
        with database.scratch(RUN, tmp_path) as copy:
            copy.load(payload)
            before = Fingerprint.of(database.schema()), Fingerprint.of(copy.schema())
            for one in (database, copy):
                execute(one, *self.changes)
            after = Fingerprint.of(database.schema()), Fingerprint.of(copy.schema())
            changes = delta(before[0], after[0])
            assert changes == delta(before[1], after[1])
            assert changes

    # -------------------------------------------------------------- in the database's place

    @pytest.mark.usefixtures("dumped")
    def test_V9_a_restore_takes_the_place_of_the_database(self, database: Database, payload: Path) -> None:
        """Schema and rows are those of the dump, and what was there before is kept."""
        before = database.schema(), all_contents(database)
        execute(database, "DELETE FROM item", "CREATE TABLE left_behind (id INTEGER)")
        spoilt = all_contents(database)
        identity = database.identity().place
        seen = []

        def check(copy: Database) -> None:
            seen.append(all_contents(copy))
            assert all_contents(database) == spoilt, "the original is untouched until then"

        words = database.replace(payload, check, RUN)
        assert seen == [before[1]]
        assert database.schema().keys() == before[0].keys()
        assert all_contents(database) == before[1]
        assert database.identity().place == identity
        assert words
        replaced = self.replaced(database, words)
        assert replaced is None or all_contents(replaced) == spoilt

    def test_a_mark_is_the_databases_own(self, database: Database, payload: Path, tmp_path: Path) -> None:
        """Neither the schema nor a copy has it, and a restore keeps it."""
        if not isinstance(database, KeepsMark):
            pytest.skip("it keeps no mark")
        fill(database)
        text = '{"ledger": "1", "place": "50 % of \\\\ it\'s"}'
        before = database.schema(), database.counts()
        assert database.read_mark() == ""
        database.write_mark("earlier")
        database.write_mark(text)
        assert database.read_mark() == text
        assert (database.schema(), database.counts()) == before
        database.dump(payload, VERSION_TABLES)
        with database.scratch(RUN, tmp_path / "scratch") as scratch:
            scratch.load(payload)
            assert isinstance(scratch, KeepsMark)
            assert scratch.read_mark() == ""
        words = database.replace(payload, lambda copy: assert_same_schema(database, copy), RUN)
        assert database.read_mark() == text
        database.write_mark("")
        assert database.read_mark() == ""
        database.write_mark("")
        self.replaced(database, words)

    @pytest.mark.usefixtures("dumped")
    def test_a_restore_that_its_check_refuses(self, database: Database, payload: Path) -> None:
        """The original stays as it is, and nothing is left beside it that hinders the next one."""
        execute(database, "DELETE FROM item")
        before = database.schema(), all_contents(database)

        def refuse(_copy: Database) -> None:
            raise BackupError("not this one")

        for _ in range(2):
            with pytest.raises(BackupError, match="not this one"):
                database.replace(payload, refuse, RUN)
        assert (database.schema(), all_contents(database)) == before

    @pytest.mark.usefixtures("dumped")
    def test_a_damaged_dump_takes_nobodys_place(self, database: Database, payload: Path) -> None:
        """The original stays as it is."""
        execute(database, "DELETE FROM item")
        before = database.schema(), all_contents(database)
        largest = max((p for p in payload.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        largest.write_bytes(largest.read_bytes()[:-1000])
        with pytest.raises(CiMigrateError):
            database.replace(payload, lambda _: pytest.fail("it was restored"), RUN)
        assert (database.schema(), all_contents(database)) == before

    # -------------------------------------------------------------- single tables

    def test_the_capability_tables(self, database: Database, payload: Path, tmp_path: Path) -> None:
        """If it is claimed, the rows of one table are dumped and put back, and no others are touched."""
        assert database.capabilities.tables == isinstance(database, TakesTables)
        if not isinstance(database, TakesTables):
            return
        fill(database)
        (item,) = (name for name in database.counts() if name.endswith("item"))
        (team,) = (name for name in database.counts() if name.endswith("team"))
        told = database.dump_tables(payload, VERSION_TABLES, [item])
        assert told.row_counts[item] == database.counts(exact=True)[item]
        before = database.contents([item])
        execute(database, "DELETE FROM item", "INSERT INTO team (id, name) VALUES (3, 'blue')")
        with database.scratch(RUN, tmp_path) as copy:
            copy.load(payload)
            assert copy.counts(exact=True)[team].rows == 0
            with pytest.raises(RefusedError, match="not now"):
                database.take_tables(copy, [item], lambda found: "" if found[item].rows else "not now")
            assert database.counts(exact=True)[item].rows == 0
            database.take_tables(copy, [item])
            assert database.contents([item]) == before
            other = Thread(target=execute, args=(database, "DELETE FROM item"))

            def nobody_else_writes(_found: Mapping[str, TableContent]) -> str:
                other.start()
                other.join(0.5)
                return "" if other.is_alive() else "somebody wrote"

            database.take_tables(copy, [item], nobody_else_writes)
            other.join()
        assert database.counts(exact=True)[item].rows == 0  # who had to wait had the last word
        assert database.counts(exact=True)[team].rows == 3

    # -------------------------------------------------------------- undoing additions

    def test_additions_are_undone(self, database: Database) -> None:
        """If it can: what was added goes, the newest first, and nothing else; a check that says no keeps it all."""
        if not isinstance(database, UndoesAdditions):
            return
        fill(database)
        before = database.schema(), all_contents(database)
        added: list[set[str]] = []
        for statement in ADDITIONS:
            shown = database.schema()
            execute(database, statement)
            added.insert(0, set(database.schema()) - set(shown))
        (item,) = (name for name in database.counts() if name.endswith("item"))
        assert database.beyond_default(item, "more") == 0
        execute(
            database,
            "UPDATE item SET more = 8 WHERE id = (SELECT low FROM (SELECT MIN(id) AS low FROM item) x)",
        )
        assert database.beyond_default(item, "more") == 1
        statements = database.undo_statements(added)
        if database.capabilities.transactional_ddl:
            left = database.schema(), all_contents(database)
            with pytest.raises(ZeroDivisionError):
                database.undo(statements, lambda _: None, says_no)
            assert (database.schema(), all_contents(database)) == left
        told: list[str] = []
        shown_to_check: list[Schema] = []
        database.undo(statements, told.append, shown_to_check.append)
        assert told == statements
        assert shown_to_check == [before[0]]
        assert (database.schema(), all_contents(database)) == before

    def test_an_undo_that_fails_names_its_statement(self, database: Database) -> None:
        """And changes nothing, where that can be had."""
        if not isinstance(database, UndoesAdditions):
            return
        fill(database)
        before = database.schema()
        with pytest.raises(DatabaseError, match="none_such"):
            database.undo(["DROP TABLE none_such"], lambda _: None, lambda _: None)
        assert database.schema() == before

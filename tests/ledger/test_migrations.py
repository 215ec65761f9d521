"""A ledger that version 0.1.0 made is brought to ours and read on; on each engine."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ledger_support import a_plan, make_tables, run_sql
from sqlalchemy import Boolean, MetaData, create_engine, delete, insert, make_url, text

from ci_migrate.approval.tokens import list_tokens
from ci_migrate.errors import LedgerError
from ci_migrate.ledger import protection
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.ledger.tables import VERSION_TABLE, Packed
from ci_migrate.model import Identity, Plan

DUMP = Path(__file__).parent / "data" / "ledger_0_1_0.sql"
SHOP = Identity(dialect="sqlite", place="/srv/shop/app.db", facts={"file": "/srv/shop/app.db"})


def fill(url, change=lambda _connection: None) -> None:
    """Make the tables as version 0.1.0 did, with what its runs wrote; see `data/make_ledger_0_1_0.py`."""
    engine = create_engine(url)
    with engine.begin() as connection:
        make_tables(connection, "0003")
    metadata = MetaData()
    metadata.reflect(engine)
    with closing(sqlite3.connect(":memory:")) as old, engine.begin() as connection:
        old.row_factory = sqlite3.Row
        old.executescript(DUMP.read_text())
        change(old)
        for table in metadata.sorted_tables:
            if table.name == VERSION_TABLE:
                continue
            connection.execute(delete(table))
            flags = [column.name for column in table.columns if isinstance(column.type, Boolean)]
            rows = [dict(row) for row in old.execute(f"SELECT * FROM {table.name}")]
            for row in rows:
                row.update({name: bool(row[name]) for name in flags if row[name] is not None})
            if rows:
                connection.execute(insert(table), rows)
    engine.dispose()


@pytest.fixture
def old_ledger(url) -> Ledger:
    fill(url)
    with open_ledger(url, create=False) as ledger:
        yield ledger


def test_the_ledger_of_0_1_0_is_read_on(old_ledger):
    database = old_ledger.database_id(SHOP)
    assert database == old_ledger.uuid
    assert old_ledger.known_keys(SHOP) == {SHOP.key}
    first, failed, second, killed = reversed(old_ledger.history(database))
    assert [run.exit_code for run in (first, failed, second, killed)] == [0, 1, 0, None]
    assert [run.state for run in (first, second)] == ["migrated", "migrated"]
    assert old_ledger.unfinished(database) == killed
    assert [run.run_id for run in old_ledger.changes(database)] == [second.run_id, first.run_id]
    assert old_ledger.applied_files(database).keys() == {"r1", "r2"}
    assert old_ledger.applying(database, "r3") == killed
    assert old_ledger.later_change(killed.run_id) is None
    assert old_ledger.evidence(killed.run_id).proven
    assert old_ledger.proven(database, [first.backup_id, second.backup_id, killed.backup_id, "other"]) == {
        first.backup_id, second.backup_id, killed.backup_id,
    }  # fmt: skip
    assert len(list(old_ledger.plans(database))) == 3


def test_protection_tokens_and_trail_of_0_1_0_stay(old_ledger):
    found = protection.read(old_ledger)
    assert (found.protected, found.by) == (True, "ana")
    assert [token.used_by is not None for token in list_tokens(old_ledger)].count(True) == 2
    assert old_ledger.verify_audit() == []
    assert old_ledger.identity_differences(SHOP) == []
    killed = old_ledger.unfinished(old_ledger.uuid)
    assert [entry.kind for entry in old_ledger.journal(killed.run_id).entries()][-1] == "statement"


def test_F106_the_trail_says_in_which_order_runs_of_0_1_0_began(url):
    def jump(old: sqlite3.Connection) -> None:
        old.execute(
            "UPDATE ci_migrate_runs SET started = '2020-01-01T00:00:00.000000+00:00' WHERE phase <> 'finished'"
        )

    fill(url, jump)
    with open_ledger(url, create=False) as ledger:
        assert ledger.history(ledger.uuid)[0].exit_code is None, "the killed one came last"


def test_F3_a_run_under_another_name_is_of_the_same_database(url):
    def rename(old: sqlite3.Connection) -> None:
        old.execute("UPDATE ci_migrate_runs SET target = 'before init' WHERE phase <> 'finished'")

    fill(url, rename)
    with open_ledger(url, create=False) as ledger:
        assert ledger.unfinished(ledger.database_id(SHOP)).target == "before init"


def test_runs_of_a_target_that_was_another_database_are_kept_apart(url):
    other = Identity(dialect="sqlite", place="/srv/other.db", facts={"file": "/srv/other.db"})

    fill(url)
    engine = create_engine(url)
    packed = Packed(Plan).process_bind_param(a_plan(target="other", identity=other), engine.dialect)
    sql = "UPDATE ci_migrate_runs SET target = 'other', plan = :plan WHERE phase <> 'finished'"
    with engine.begin() as connection:
        connection.execute(text(sql), {"plan": packed})
    engine.dispose()
    with open_ledger(url, create=False) as ledger:
        assert ledger.unfinished(ledger.database_id(SHOP)) is None
        assert ledger.unfinished(ledger.database_id(other)).target == "other"
        assert ledger.database_id(other) != ledger.uuid


def test_postgresql_a_role_that_may_only_read_is_told_who_upgrades_it(postgresql_url):
    url = make_url(postgresql_url).set(drivername="postgresql+psycopg")
    fill(url)
    role = f"reader_{url.database}"
    grants = (
        f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'x'",
        f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"',
    )
    run_sql(url, *grants)
    try:
        with pytest.raises(LedgerError, match="of version 0003, and this ci-migrate reads") as caught:
            open_ledger(url.set(username=role, password="x"), create=False)
        assert "the role that made it" in caught.value.hint
        open_ledger(url, create=False).close()
        with open_ledger(url.set(username=role, password="x"), create=False) as ledger:
            assert len(ledger.history(ledger.uuid)) == 4
    finally:
        run_sql(url, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')

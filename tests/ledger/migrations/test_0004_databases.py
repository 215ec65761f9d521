"""The keys that revision 0004 writes are those by which a database is looked for today; rows in any number are read."""

import importlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_support import a_plan, make_tables, on_sqlite, some_evidence, tamper, url
from sqlalchemy import MetaData, create_engine

from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.tables import Packed, utc_text
from ci_migrate.model import Backup, Identity, Outcome, Plan, StageResult, canonical_json, now, shortened_key

__all__ = ["tamper", "url"]

revision = importlib.import_module("ci_migrate.ledger.migrations.versions.0004_databases")
TEXTS = st.text(st.characters(codec=None), max_size=12)


def an_identity(name: str, **facts: str) -> Identity:
    return Identity(
        dialect="postgresql", place=f"db/{name}", facts={"server": "s", "database": name, **facts}
    )


@given(
    facts=st.dictionaries(
        st.sampled_from([
            "server", "system_identifier", "host", "port", "oid", "file", "database",
            "a.server", "a.database", "b.file", "odd", "b.odd",
        ]),
        TEXTS | st.text("x", min_size=250, max_size=300),
        max_size=6,
    ),
    dialect=st.sampled_from(["sqlite", "postgresql", "mysql", "composite"]),
)  # fmt: skip
def test_F3_the_revision_keys_a_database_as_the_model_does(facts, dialect):
    """Its copy is frozen. Where the model's key changes, what it wrote is found no more: that takes a new revision."""
    found = Identity(dialect=dialect, place="", facts=facts)
    assert revision._key(found) == found.key
    assert revision._name_key(found) == found.name_key


@settings(max_examples=40)
@given(text=st.text(max_size=20) | st.text("aü🚚", min_size=240, max_size=270))
def test_it_shortens_revisions_as_the_model_does(text):
    assert revision._shortened(text) == shortened_key(text)
    assert len(revision._shortened(text)) <= 255


SHOP, BILLING = an_identity("shop", oid="1"), an_identity("billing", oid="2")


def make_old(url, runs, *, pinned=(SHOP,), stages=()) -> None:
    """A ledger of revision 0003 with these runs: (id, target, plan's identity or None, state)."""
    engine = create_engine(url)
    with engine.begin() as connection:
        make_tables(connection, "0003")
        tables = MetaData()
        tables.reflect(connection)
        for identity in pinned:
            audit.append(connection, "identity pinned", None, {"identity": identity})
            facts = canonical_json(identity).decode()
            connection.execute(tables.tables["ci_migrate_identity"].update().values(facts=facts))
        for run_id, target, identity, state in runs:
            audit.append(connection, "run started", run_id, {})
            plan = None if identity is None else a_plan(identity=identity, target=target)
            row = {
                "run_id": run_id, "target": target, "command": "run", "started": utc_text(now()), "phase": "finished",
                "needs_repair": False, "pid": 1, "host": "h", "actor": "a", "state": state,
                "plan": None if plan is None else Packed(Plan).process_bind_param(plan, engine.dialect),
                "plan_digest": None if plan is None else plan.digest,
            }  # fmt: skip
            connection.execute(tables.tables["ci_migrate_runs"].insert(), row)
        for run_id, result in stages:
            packed = Packed(StageResult).process_bind_param(result, engine.dialect)
            row = {"run_id": run_id, "stage": result.stage, "outcome": result.outcome.value,
                   "recorded": utc_text(now()), "result": packed}  # fmt: skip
            connection.execute(tables.tables["ci_migrate_stages"].insert(), row)
    engine.dispose()


def ids(ledger, identity) -> list[str]:
    return [run.run_id for run in ledger.history(ledger.database_id(identity))]


@on_sqlite
def test_a_target_that_never_was_on_a_pinned_database_is_another_one(url):
    make_old(
        url,
        [
            ("r1", "shop", SHOP, "migrated"),
            ("r2", "billing", BILLING, "migrated"),
            ("r3", "shop", None, None),
        ],
    )
    with open_ledger(url, create=False) as ledger:
        assert ids(ledger, SHOP) == ["r3", "r1"]
        assert ids(ledger, BILLING) == ["r2"]
        assert ledger.known_keys(BILLING) == {BILLING.key}
        assert ledger.database_id(BILLING) != ledger.uuid


@on_sqlite
def test_where_no_target_ever_was_on_it_all_runs_are_of_the_ledgers_own(url):
    """What was pinned is all that 0.1.0 knew: of two strangers nobody can say which one it is."""
    make_old(url, [("r1", "a", BILLING, "migrated"), ("r2", "b", an_identity("other", oid="3"), "migrated")])
    with open_ledger(url, create=False) as ledger:
        assert ids(ledger, None) == ["r2", "r1"]


@on_sqlite
def test_the_same_name_on_another_server_is_a_replica_and_no_other_database(url):
    replica = msgspec.structs.replace(SHOP, facts={**SHOP.facts, "server": "replica"})
    make_old(url, [("r1", "shop", SHOP, "migrated"), ("r2", "read-only", replica, "migrated")])
    with open_ledger(url, create=False) as ledger:
        assert ids(ledger, SHOP) == ["r2", "r1"]


@on_sqlite
def test_each_key_that_was_pinned_is_one_of_its_own(url):
    """A restore by a rename pinned the next one."""
    renamed = an_identity("shop", oid="9")
    make_old(
        url, [("r1", "shop", SHOP, "migrated"), ("r2", "shop", renamed, "unknown")], pinned=(SHOP, renamed)
    )
    with open_ledger(url, create=False) as ledger:
        assert ledger.known_keys(None) == {SHOP.key, renamed.key}
        assert ids(ledger, SHOP) == ids(ledger, renamed) == ["r2", "r1"]
        assert [run.run_id for run in ledger.changes(ledger.uuid)] == ["r2", "r1"]


@on_sqlite
def test_two_targets_of_one_database_share_its_runs(url):
    other = an_identity("billing", oid="3")
    make_old(
        url,
        [("r1", "shop", SHOP, None), ("r2", "billing", BILLING, None), ("r3", "also", BILLING, None), ("r4", "also", other, None)],
    )  # fmt: skip
    with open_ledger(url, create=False) as ledger:
        assert ids(ledger, BILLING) == ids(ledger, other) == ["r4", "r3", "r2"]
        assert ids(ledger, SHOP) == ["r1"]


@on_sqlite
@pytest.mark.parametrize("page", [1, 2, 500])
def test_rows_are_read_page_by_page(url, monkeypatch, page):
    monkeypatch.setattr(revision, "PAGE", page)
    runs, stages = [], []
    for number in range(5):
        runs.append((f"r{number}", "shop", SHOP, "migrated"))
        backup = Backup(backup_id=f"backup_{number}", backup_path="/b", backup_time=now())
        stages.append((f"r{number}", StageResult(stage="backup", outcome=Outcome.PASSED, backup=backup)))
        evidence = some_evidence(proven=number != 2) if number != 3 else None
        stages.append((f"r{number}", StageResult(stage="dry-run", outcome=Outcome.PASSED, evidence=evidence)))
    make_old(url, runs, stages=stages)
    with open_ledger(url, create=False) as ledger:
        assert len(list(ledger.changes(ledger.uuid))) == 5
        assert ledger.applied_files(ledger.uuid) == {"2222": "b" * 64}
        assert ledger.proven(ledger.uuid, [f"backup_{n}" for n in range(5)]) == {
            "backup_0",
            "backup_1",
            "backup_4",
        }


@on_sqlite
def test_runs_that_no_trail_knows_come_before_all_others_by_their_clock(url, tamper):
    make_old(url, [("r1", "shop", SHOP, "migrated"), ("r2", "shop", SHOP, None)])
    for name, at in (("old-2", "2020-02-01"), ("old-1", "2020-01-01")):
        tamper(
            "INSERT INTO ci_migrate_runs (run_id, target, command, started, phase, needs_repair, pid, host, actor)"
            " VALUES (:name, 'shop', 'run', :at, 'finished', 0, 1, 'h', 'a')",
            name=name, at=f"{at}T00:00:00.000000+00:00",
        )  # fmt: skip
    with open_ledger(url, create=False) as ledger:
        assert ids(ledger, SHOP) == ["r2", "r1", "old-2", "old-1"]

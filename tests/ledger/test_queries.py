"""Each question has an index on each engine: a ledger with 100,000 runs answers as an empty one does. And the answers."""

from datetime import UTC, datetime, timedelta

import pytest
from ledger_support import a_plan, a_run, on_sqlite, some_evidence
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ci_migrate.approval import tokens
from ci_migrate.ledger import queries
from ci_migrate.ledger.databases import note_key
from ci_migrate.ledger.ledger import Ledger, open_ledger
from ci_migrate.model import Backup, Direction, Identity, Outcome, Plan, Revision, StageResult, TargetState

DATABASE = "0b9ffcd8-6b9c-4a0e-a9a5-5f1f8a8f5b4e"
QUESTIONS = {
    "newest": queries.newest(DATABASE, 20),
    "unfinished": queries.unfinished(DATABASE),
    "restoring": queries.restoring(DATABASE),
    "changes": queries.changes(DATABASE, None, 50),
    "changes before": queries.changes(DATABASE, 77, 50),
    "later change": queries.later_change(DATABASE, 77),
    "plans": queries.plans(DATABASE),
    "applied files": queries.applied_files(DATABASE),
    "applying": queries.applying(DATABASE, "3f2a"),
    "proven": queries.proven(DATABASE, ["backup_1", "backup_2"]),
    "rehearsed": queries.rehearsed(
        DATABASE, "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    ),
}
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect(), "mysql": mysql.dialect()}


@pytest.fixture
def explain(url):
    """What the engine would do for a question."""
    with open_ledger(url, create=True) as ledger:
        for number in range(30):
            ledger.begin_run(a_run(f"run-{number}", plan=a_plan()))
    engine = create_engine(url)

    def look(name: str) -> list[str]:
        dialect = DIALECTS[engine.dialect.name]
        sql = str(QUESTIONS[name].compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":  # with so few rows it would rightly read them all
                connection.execute(text("SET enable_seqscan = off"))
            how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{how} {sql}".replace("%", "%%")).mappings().all()
        return [" ".join(f"{key}={value}" for key, value in row.items()) for row in rows]

    yield look
    engine.dispose()


@pytest.mark.parametrize("name", QUESTIONS)
def test_F4_no_question_reads_all_runs(explain, name):
    steps = explain(name)
    tables = ("ci_migrate_runs", "ci_migrate_applied", "ci_migrate_rehearsals")
    about = [step for step in steps if any(f"{table}" in step for table in tables)]
    assert about, steps
    for step in about:
        assert "SCAN ci_migrate" not in step, "SQLite reads the table"
        assert "Seq Scan" not in step, "PostgreSQL reads the table"
        assert "type=ALL" not in step, "MariaDB reads the table"


# --------------------------------------------------------------------------- the answers


SHOP, OTHER = (
    Identity(
        dialect="postgresql", place=f"db:5432/{name}", facts={"server": "s1", "oid": oid, "database": name}
    )
    for name, oid in (("shop", "1"), ("billing", "2"))
)


@pytest.fixture
def two(ledger: Ledger) -> tuple[str, str]:
    """The ids of two databases in one ledger, as an upgraded one of version 0.1.0 may have them."""
    ledger.pin_identity(SHOP)
    with ledger.writing() as connection:
        note_key(connection, OTHER, "another")
    assert ledger.database_id(OTHER) == "another"
    return ledger.uuid, "another"


def planned(*revisions: str, direction: Direction = Direction.UPGRADE) -> Plan:
    made = tuple(Revision(id=i, file=f"{i}.py", sha256=i[0] * 64, message="") for i in revisions)
    return a_plan(revisions=made, direction=direction, destination=revisions[-1])


def ran(
    ledger: Ledger,
    run_id: str,
    *revisions: str,
    state: str | None = "migrated",
    database: Identity = SHOP,
    down: bool = False,
) -> None:
    """A run that planned these revisions and ended in this state; None for one that was killed."""
    ledger.begin_run(a_run(run_id), database)
    plan = planned(*revisions, direction=Direction.DOWNGRADE if down else Direction.UPGRADE)
    ledger.update_run(run_id, plan=plan, phase="migrating")
    if state is not None:
        ledger.finish_run(run_id, 0, state)


def ids(runs) -> list[str]:
    return [run.run_id for run in runs]


def test_each_question_is_answered_of_the_database_that_was_asked_for(ledger, two):
    shop, other = two
    ran(ledger, "shop-1", "a1")
    ran(ledger, "other-1", "b1", database=OTHER)
    ran(ledger, "other-2", "b1", database=OTHER, state=None)
    ledger.begin_run(a_run("other-3", phase="restoring"), OTHER)
    assert ids(ledger.history(shop)) == ["shop-1"]
    assert ids(ledger.history(other)) == ["other-3", "other-2", "other-1"]
    assert ledger.unfinished(shop) is None
    assert ledger.unfinished(other).run_id == "other-2"
    assert (ids(ledger.restoring(shop)), ids(ledger.restoring(other))) == ([], ["other-3"])
    assert (ids(ledger.changes(shop)), ids(ledger.changes(other))) == (["shop-1"], ["other-1"])
    assert ledger.later_change("shop-1") is None, "that of another database is none of this one"
    assert (ids(ledger.plans(shop)), ids(ledger.plans(other))) == (["shop-1"], ["other-2"])
    assert (set(ledger.applied_files(shop)), set(ledger.applied_files(other))) == ({"a1"}, {"b1"})
    assert ledger.applying(shop, "b1") is None
    assert ledger.applying(other, "b1").run_id == "other-2"


@on_sqlite
@pytest.mark.parametrize("order", [("wants", "migrating", "repairing"), ("repairing", "wants", "migrating")])
def test_of_all_that_are_unfinished_the_newest_is_told_whatever_is_wrong_with_it(ledger, order):
    for run_id in order:
        ran(ledger, run_id, "a1", state=None)
        if run_id == "wants":
            ledger.finish_run(run_id, 9, TargetState.UNKNOWN)
        else:
            ledger.update_run(run_id, phase=run_id)
    for run_id in reversed(order):
        assert ledger.unfinished(ledger.uuid).run_id == run_id
        ledger.finish_run(run_id, 0, TargetState.AS_BEFORE)
    assert ledger.unfinished(ledger.uuid) is None


@on_sqlite
def test_restores_that_were_begun_are_told_until_they_end(ledger):
    for number in (1, 2, 3):
        ledger.begin_run(a_run(f"run-{number}", phase="restoring"))
    ledger.finish_run("run-2", 0, TargetState.AS_BEFORE)
    ledger.update_run("run-3", phase="started")
    assert ids(ledger.restoring(ledger.uuid)) == ["run-1"]
    assert ledger.unfinished(ledger.uuid) is None, "what they leave is looked at apart"


@on_sqlite
def test_the_first_change_after_a_run_is_told(ledger):
    for number, state in enumerate(("migrated", "untouched", None, "unknown", "migrated"), 1):
        ran(ledger, f"run-{number}", "a1", state=state)
    assert ledger.later_change("run-1").run_id == "run-4"
    assert ledger.later_change("run-4").run_id == "run-5"
    assert ledger.later_change("run-5") is None
    assert ledger.later_change("nobody") is None


@on_sqlite
def test_the_newest_run_through_a_revision_is_told_whether_it_arrived_or_not(ledger):
    ran(ledger, "run-1", "a1", "b1")
    ran(ledger, "run-2", "b1", state="partly migrated")
    assert ledger.applying(ledger.uuid, "b1").run_id == "run-2"
    assert ledger.applying(ledger.uuid, "a1").run_id == "run-1"
    ran(ledger, "run-3", "b1", down=True)
    assert ledger.applying(ledger.uuid, "b1").run_id == "run-2", "a downgrade brings no revision"
    ran(ledger, "run-4", "b1")
    assert ledger.applying(ledger.uuid, "b1").run_id == "run-4"


@on_sqlite
def test_a_revision_of_any_length_is_found_again(ledger):
    """Names of revisions may be longer than a column that has an index."""
    long, twin = "r" * 300 + "a", "r" * 300 + "b"
    ran(ledger, "run-1", long)
    ran(ledger, "run-2", twin)
    assert ledger.applying(ledger.uuid, long).run_id == "run-1"
    assert ledger.applying(ledger.uuid, twin).run_id == "run-2"
    assert len(ledger.applied_files(ledger.uuid)) == 2


@on_sqlite
def test_a_plan_that_was_replaced_leaves_no_revision_of_the_first(ledger):
    ledger.begin_run(a_run(plan=planned("a1", "b1")))
    ledger.update_run("run-1", plan=planned("c1"))
    assert ledger.applying(ledger.uuid, "a1") is None
    assert ledger.applying(ledger.uuid, "c1").run_id == "run-1"
    ledger.finish_run("run-1", 0, TargetState.MIGRATED)
    assert set(ledger.applied_files(ledger.uuid)) == {"c1"}
    ledger.update_run("run-1", plan=None)
    assert ledger.applied_files(ledger.uuid) == {}
    assert list(ledger.plans(ledger.uuid)) == []


@on_sqlite
def test_a_run_that_has_not_arrived_has_applied_nothing(ledger):
    ran(ledger, "run-1", "a1", state=None)
    assert ledger.applied_files(ledger.uuid) == {}
    for state, applied in (
        ("untouched", set()),
        ("unknown", set()),
        ("migrated", {"a1"}),
        ("restored", set()),
    ):
        ledger.update_run("run-1", state=state)
        assert set(ledger.applied_files(ledger.uuid)) == applied, state


@on_sqlite
def test_each_of_many_plans_is_told_once_newest_first(ledger):
    for number in range(120):
        ran(ledger, f"run-{number}", f"r{number % 110}")
    assert ids(ledger.plans(ledger.uuid)) == [f"run-{n}" for n in [*range(119, 109, -1), *range(109, 9, -1)]]


# --------------------------------------------------------------------------- approvals and rehearsals


def approved(ledger: Ledger, run_id: str, purpose: Direction = Direction.UPGRADE, by: str = "ana") -> None:
    """A run that used an approval of its plan up."""
    plan = planned("a1", direction=purpose)
    ledger.begin_run(a_run(run_id, plan=plan))
    token, approval = tokens.generate(
        ledger, plan=plan, target="production", reason=f"why {run_id}", by=by, validity_minutes=30
    )
    tokens.reserve(ledger, token, plan, run_id)
    tokens.claim(ledger, approval.approval_id, run_id)


def test_the_last_run_that_used_an_approval_to_migrate_is_told(ledger):
    assert ledger.last_approved() is None
    approved(ledger, "run-1")
    approved(ledger, "run-2", Direction.DOWNGRADE)
    ledger.begin_run(a_run("run-3"))
    token, _ = tokens.generate(
        ledger, plan=a_plan(), target="production", reason="why", by="ana", validity_minutes=30
    )
    tokens.reserve(ledger, token, a_plan(), "run-3")  # which has used nothing up yet
    assert ledger.last_approved() == "run-2"


def test_approvals_are_told_of_the_runs_that_used_them(ledger):
    approved(ledger, "run-1", by="ana, größe")
    approved(ledger, "run-2", by="ben")
    found = ledger.approvals_used(["run-1", "nobody"])
    assert found == {"run-1": (("ana, größe",), "why run-1")}
    assert ledger.approvals_used([]) == {}


@on_sqlite
def test_several_rehearsals_of_one_plan_are_told_newest_first(ledger, plan):
    for number in range(4):
        ledger.begin_run(a_run(f"run-{number}"))
        ledger.record_stage(f"run-{number}", StageResult(stage="check", outcome=Outcome.PASSED, plan=plan))
        outcome = Outcome.FAILED if number == 2 else Outcome.PASSED
        ledger.record_stage(
            f"run-{number}", StageResult(stage="dry-run", outcome=outcome, evidence=some_evidence())
        )
    day = timedelta(days=1)
    assert ledger.rehearsals(ledger.uuid, plan.digest, day, limit=9) == ("run-3", "run-1", "run-0")
    assert ledger.rehearsals(ledger.uuid, plan.digest, day, limit=2) == ("run-3", "run-1")
    assert ledger.rehearsals(ledger.uuid, plan.digest, timedelta(0), limit=9) == ()


@on_sqlite
def test_F4_thousands_of_backups_are_asked_for_at_once(ledger):
    """An IN has a limit on each engine: SQLite's was 999 for long."""
    for name in ("backup_0", "backup_600", "backup_1400"):
        ledger.begin_run(a_run(name))
        backup = Backup(backup_id=name, backup_path="/b", backup_time=a_run().started)
        ledger.record_stage(name, StageResult(stage="backup", outcome=Outcome.PASSED, backup=backup))
        for _ in range(2):  # a stage that was begun again
            ledger.record_stage(
                name, StageResult(stage="dry-run", outcome=Outcome.PASSED, evidence=some_evidence())
            )
    asked = [f"backup_{n}" for n in range(1500)]
    assert ledger.proven(ledger.uuid, asked) == {"backup_0", "backup_600", "backup_1400"}
    assert ledger.proven(ledger.uuid, []) == frozenset()

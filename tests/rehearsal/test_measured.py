"""What is measured around a rehearsal, and how long it counts as having taken."""

import pytest

from ci_migrate.migrations import events
from ci_migrate.rehearsal import measured
from ci_migrate.rehearsal.measured import Duration

STATEMENT = events.StatementStarted(
    position=1, context=0, revision="r1", file=None, line=None, sql="select 1", digest="", form=""
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is put forward by hand."""

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(measured, "time", clock)
    return clock


def test_the_time_before_the_first_statement_does_not_count(clock):
    """The copy is restored and the scripts are loaded meanwhile: on the target that is over when the limit begins."""
    duration = Duration(10.0)
    hear = duration.around(lambda _event: None)
    clock.now += 50
    hear(STATEMENT)
    clock.now += 9
    hear(STATEMENT)
    assert duration.over == 0.0
    clock.now += 2
    hear(STATEMENT)
    assert duration.over == 11.0
    clock.now += 5
    hear(STATEMENT)
    assert duration.over == 11.0, "the first one above the limit is told"


def test_what_is_measured_at_an_event_does_not_count(clock):
    """On the target nobody reads the schema at each commit."""
    duration = Duration(10.0)

    def slow(_event):
        clock.now += 100

    hear = duration.around(slow)
    for _ in range(3):
        hear(STATEMENT)
        clock.now += 4
    assert duration.over == 0.0
    hear(STATEMENT)
    assert duration.over == 12.0


def test_without_a_limit_nothing_is_too_long(clock):
    duration = Duration(None)
    hear = duration.around(lambda _event: None)
    for _ in range(2):
        hear(STATEMENT)
        clock.now += 1e9
    assert duration.over == 0.0


def test_what_the_handler_says_is_handed_on_and_what_it_raises_too(clock):
    assert Duration(1.0).around(lambda _event: "stop")(STATEMENT) == "stop"

    def broken(_event):
        raise LookupError

    with pytest.raises(LookupError):
        Duration(1.0).around(broken)(STATEMENT)


def test_a_rehearsal_that_would_be_stopped_on_the_target_is_refused(rehearse):
    """`max-duration` stops the target at a statement: half a migration, which the copy can tell before."""
    slow = "import time\nop.execute('select 1')\ntime.sleep(0.3)\nop.execute('create table t (id integer)')"
    report = rehearse(slow, "drop table t", max_duration="100ms")
    assert report.exit_code == 1
    message = report.result("dry-run").message
    assert message.startswith("max-duration is 0.1 s, and after 0.3 s the dry run still began statements")
    assert rehearse(slow, "op.execute('drop table t')", max_duration="1min").exit_code == 0


@pytest.mark.parametrize("measure", [True, False])
def test_what_can_be_told_of_sqlite(rehearse, measure):
    """It has no log that can be read: nothing is claimed of one."""
    evidence = rehearse("create table t (id integer)", "drop table t", measure=measure).evidence
    assert (evidence.measured, evidence.log_bytes) == (measure, None)
    assert 0 < evidence.size_before <= evidence.size_after
    assert evidence.migrate_seconds > 0
    assert any(statement.locks for statement in evidence.statements) is measure


@pytest.mark.parametrize("measure", [True, False])
def test_on_postgresql_locks_are_measured_where_that_is_wanted(on_postgresql, measure):
    on_postgresql.revision(
        "r2", "r1", "alter table users add email text", "alter table users drop column email"
    )
    evidence = on_postgresql.gate("dry-run", measure=measure).evidence
    assert evidence.measured is measure
    assert (evidence.log_bytes is not None) is measure
    (alter,) = [s for s in evidence.statements if s.sql.startswith("alter table")]
    assert [(lock.table, lock.blocks) for lock in alter.locks] == [
        ("public.users", "reads and writes")
    ] * measure

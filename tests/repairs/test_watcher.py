"""Journal first, then the word to go on; and what is still to run above each commit point."""

import time
from types import SimpleNamespace

import pytest
from ledger_support import a_plan, a_run, ledger
from msgspec.structs import replace
from repair_support import PLAN, THREE, commit_point, evidence, statement
from sqlalchemy import URL

from ci_migrate.errors import LedgerError, LockedError
from ci_migrate.migrations import events
from ci_migrate.migrations.runner import Ended
from ci_migrate.model import EntryKind, PlannedContext, VersionTable
from ci_migrate.repairs import watcher as watcher_module
from ci_migrate.repairs.watcher import Rest, Watcher
from ci_migrate.run.patience import Patience

__all__ = ["ledger"]


@pytest.fixture
def url(tmp_path) -> URL:
    """Where the ledger is: no engine decides what is looked at here."""
    return URL.create("sqlite", database=f"{tmp_path}/state.db")


# --------------------------------------------------------------------------- what is still to run


def test_without_a_dry_run_or_at_the_start_all_is_to_run():
    for found in (Rest.of(PLAN, None, 2), Rest.of(PLAN, THREE, 0)):
        (table,) = found.contexts
        assert (table.from_heads, table.revisions) == (("r0",), ("r1", "r2", "r3"))
    assert Rest.of(PLAN, None, 2).rehearsed is None
    assert Rest.of(PLAN, THREE, 0).rehearsed == THREE.statements


@pytest.mark.parametrize(
    ("point", "heads", "left"), [(1, ("r1",), ("r2", "r3")), (2, ("r2",), ("r3",)), (3, ("r3",), ())]
)
def test_above_a_commit_point_the_rest_is_to_run(point, heads, left):
    (table,) = Rest.of(PLAN, THREE, point).contexts
    assert (table.from_heads, table.revisions) == (heads, left)


def test_statements_of_what_is_done_are_not_expected_again_nor_those_that_made_the_version_table():
    sent = (
        statement(1, None, "CREATE TABLE alembic_version (version_num)"), statement(2, None, "SET x = 1"),
        statement(3, "r1"), statement(4, "r2"), statement(5, "r3"),
    )  # fmt: skip
    rehearsed = evidence(
        commit_point(1, "r1", "r1", 3),
        commit_point(2, "r2", "r2", 4),
        commit_point(3, "r3", "r3", 5),
        statements=sent,
    )
    left = Rest.of(PLAN, rehearsed, 2).rehearsed
    assert [s.position for s in left] == [2, 5], "what env.py sets for each session comes again"


def test_of_several_version_tables_each_has_a_rest_of_its_own():
    two = a_plan(
        contexts=(
            PlannedContext(
                version_table=VersionTable(name="a"), from_heads=(), to_heads=("a2",), revisions=("a1", "a2")
            ),
            PlannedContext(
                version_table=VersionTable(name="b"), from_heads=(), to_heads=("b1",), revisions=("b1",)
            ),
        )
    )
    half = evidence(replace(commit_point(1, "a1", "a1", 1), heads=(("a1",), ())))
    first, second = Rest.of(two, half, 1).contexts
    assert (first.from_heads, first.revisions) == (("a1",), ("a2",))
    assert (second.from_heads, second.revisions) == ((), ("b1",))


# --------------------------------------------------------------------------- what is written down


class Lock:
    """A run lock that was lost, or not."""

    def __init__(self, lost: bool = False) -> None:
        self.lost, self.asked = lost, 0

    def check(self) -> None:
        self.asked += 1
        if self.lost:
            raise LockedError("The run lock was lost.")


@pytest.fixture
def watched(ledger, tmp_path):
    """`watched(rehearsed=..., lock=..., max_duration=...)`: a watcher with a journal in a real ledger."""
    ledger.begin_run(a_run())
    journal = ledger.journal("run-1")

    def make(rehearsed=None, *, lock=None, max_duration=0.0, transactional=True, **more) -> Watcher:
        told: list[str] = []
        run = SimpleNamespace(
            settings=SimpleNamespace(project_dir=tmp_path, max_duration=max_duration), lock=lock, tell=told.append,
            told=told, database=SimpleNamespace(capabilities=SimpleNamespace(transactional_ddl=transactional)),
        )  # fmt: skip
        started = more.pop("started", time.monotonic())
        return Watcher(run, more.pop("plan", PLAN), rehearsed, journal, started, Patience(run), **more)

    yield make
    journal.close()


def started(position: int = 1, sql: str = "UPDATE t SET x = 1", revision: str | None = "r1", **more):
    fields = {"context": 0, "file": None, "line": None, "digest": f"d{position}", "form": f"f{position}"}
    return events.StatementStarted(position=position, revision=revision, sql=sql, **{**fields, **more})


def entries(watcher: Watcher) -> list[tuple[str, int]]:
    return [(str(e.kind), e.position) for e in watcher.journal.entries()]


def test_no_statement_is_sent_that_the_journal_does_not_know(watched):
    watcher = watched()
    assert watcher.handle(started(1)) is None
    assert entries(watcher) == [("statement", 1)], "it is there before the child gets its word"
    watcher.handle(events.StatementDone(position=1, seconds=0.1, rows=3))
    assert entries(watcher) == [("statement", 1)], "what came of it may wait for the next one"
    watcher.handle(started(2))
    assert entries(watcher) == [("statement", 1), ("done", 1), ("statement", 2)]


def test_a_journal_that_can_not_be_written_stops_the_statement(watched):
    watcher = watched()
    watcher.journal.append = lambda *_entries: (_ for _ in ()).throw(LedgerError("full"))
    with pytest.raises(LedgerError):
        watcher.handle(started(1))


def test_a_commit_is_written_down_before_it_is_asked_for_and_when_it_is_there(watched):
    watcher = watched()
    watcher.handle(started(1))
    watcher.handle(events.Committing(statements=1, revision="r1", xid="731"))
    assert entries(watcher)[-1] == ("committing", 1)
    watcher.handle(events.Committed(statements=1, context=0, revision="r1", complete=False))
    watcher.handle(events.Committed(statements=2, context=0, revision="r1", complete=True))
    *_, asked, part, whole = watcher.journal.entries()
    assert (asked.note, part.note, whole.note) == ("731", "partial", "complete")
    assert (whole.revision, whole.context, whole.position) == ("r1", 0, 2)


def test_the_chain_of_digests_says_which_statements_came_before(watched):
    one, other = watched(), watched()
    for watcher, digests in ((one, "ab"), (other, "ba")):
        for position, digest in enumerate(digests, 1):
            watcher.handle(started(position, digest=digest))
    first, second = one.journal.entries()[:2], other.journal.entries()[2:]
    assert first[1].prefix != second[1].prefix, "the same statements in another order are another chain"
    assert len({e.prefix for e in (*first, *second)}) == 4


def test_what_was_lost_or_takes_too_long_is_refused_and_not_written_down(watched, monkeypatch):
    monkeypatch.setattr(watcher_module, "LOCK_CHECK_SECONDS", -1.0)
    lost = watched(lock=Lock(lost=True))
    assert lost.handle(started(1)) == "refuse The run lock was lost."
    late = watched(max_duration=5.0, started=time.monotonic() - 6)
    assert late.handle(started(1)) == "refuse max-duration (5 s) is over"
    in_time = watched(max_duration=5.0, lock=Lock())
    assert in_time.handle(started(1)) is None
    assert entries(in_time) == [("statement", 1)], "of those that were refused nothing was sent"


def test_the_lock_is_looked_at_now_and_then_and_not_at_each_statement(watched):
    lock = Lock()
    watcher = watched(lock=lock)
    for position in range(1, 50):
        watcher.handle(started(position))
    assert lock.asked == 0
    watcher._lock_checked -= watcher_module.LOCK_CHECK_SECONDS + 1
    watcher.handle(started(50))
    watcher.handle(started(51))
    assert lock.asked == 1


def test_a_statement_that_was_not_rehearsed_is_refused_in_one_line(watched):
    watcher = watched((statement(1, "r1"),))
    answer = watcher.handle(started(1, "DELETE\nFROM t", form="another"))
    assert answer.startswith("refuse ")
    assert "\n" not in answer
    assert entries(watcher) == []


def test_what_runs_once_is_found_again_by_its_form_and_a_round_of_a_loop_by_its_values(watched):
    once, loop = statement(1, "r1"), statement(2, "r1", repeats=3)
    watcher = watched((replace(once, digest="f1"), replace(loop, digest="f2")))
    watcher.handle(started(1))
    watcher.handle(started(2))
    assert [e.digest for e in watcher.journal.entries()] == ["f1", "d2"]


@pytest.mark.parametrize("transactional", [True, False])
@pytest.mark.parametrize("committed", [True, False])
def test_once_something_is_committed_another_value_stops_it_only_where_ddl_is_taken_back(
    watched, transactional, committed
):
    rehearsed = (replace(statement(1, "r1"), digest="f1", exact="as rehearsed"),)
    watcher = watched(rehearsed, transactional=transactional)
    if committed:
        watcher.handle(events.Committed(statements=0, context=0, revision="r0", complete=True))
    answer = watcher.handle(started(1, exact="other"))
    goes_on = committed and not transactional
    assert (answer is None) is goes_on
    assert len(watcher.other) == int(goes_on)
    assert any("can't be taken back by a stop" in words for words in watcher.run.told) is goes_on


def test_what_the_child_tells_besides_is_in_the_journal_too(watched):
    watcher = watched()
    for event in (
        events.Session(pid=4711, database=""),
        events.Stamped(context=0, revision="r1", heads=("r1", "x")),
        events.StatementFailed(position=1, seconds=0.1, error="e" * 900, sqlstate=None),
        events.Finished(exited=False),
    ):
        assert watcher.handle(event) is None
    watcher.flush()
    watcher.flush()
    session, stamped, failed, finished = watcher.journal.entries()
    assert (session.note, stamped.note, len(failed.note)) == (" pid 4711", "r1 x", 500)
    assert finished.kind is EntryKind.FINISHED


def test_who_waits_hears_which_revision_runs(watched):
    watcher = watched(plan=a_plan())
    watcher.handle(events.RevisionStarted(context=0, revision="2222", file=None))
    watcher.handle(events.RevisionStarted(context=0, revision=None, file=None))
    watcher.handle(events.RevisionStarted(context=0, revision="9999", file=None))
    assert watcher.run.told == ["2222 b", "9999"]


@pytest.mark.parametrize(
    ("kind", "told"), [("refused", "first"), ("input", "first"), ("error", "last"), ("stopped", "last")]
)
def test_a_refusal_of_what_cleans_up_does_not_hide_the_error(watched, kind, told):
    """Alembic's batch mode drops its temporary table after a failure: no dry run has seen that."""
    watcher = watched()
    watcher.handle(events.StatementFailed(position=1, seconds=0.1, error="first", sqlstate="23505"))
    ended = Ended(None, None, events.Failed(kind=kind, message="last"), None, "")
    found = watcher._unmask(ended)
    assert found.failed.message == told
    assert (found.failed.kind, found.failed.sqlstate) == (
        ("error", "23505") if told == "first" else (kind, None)
    )
    watcher.handle(events.StatementDone(position=2, seconds=0.1, rows=None))
    assert watcher._unmask(ended) is ended, "env.py went on after it"

"""A line now and then while a migration runs: what it is at, for how long, and who may be in the way."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from ci_migrate.errors import DatabaseError
from ci_migrate.migrations import events
from ci_migrate.run import heartbeat
from ci_migrate.run.heartbeat import Heartbeat


class Clock:
    """Time that only passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(heartbeat, "time", clock)
    return clock


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def beating(clock, told):
    """A heartbeat that hears events, and what it says."""

    def make(others=None) -> Heartbeat:
        run = SimpleNamespace(tell=told.append, settings=SimpleNamespace(project_dir=Path("/srv/shop")))
        return Heartbeat(run, others, _began=clock.now)

    return make


def statement(sql="UPDATE big SET a = 1", **fields) -> events.StatementStarted:
    given = {"file": "/srv/shop/versions/r1.py", "line": 7, "revision": "r1", **fields}
    return events.StatementStarted(position=1, context=0, sql=sql, digest="d", form="d", **given)


def test_lines_come_every_ten_seconds_and_after_a_minute_every_minute(beating, clock, told):
    beat = beating()
    at = []
    for _ in range(200):
        clock.now += 1
        before = len(told)
        beat.beat()
        at += [clock.now - 1000] * (len(told) - before)
    assert at == [10, 20, 30, 40, 50, 60, 120, 180]


def test_after_a_long_pause_there_is_one_line_and_not_one_for_each_that_was_missed(beating, clock, told):
    beat = beating()
    clock.now += 47  # nothing was heard so long: the child imported
    beat.beat()
    beat.beat()
    assert len(told) == 1
    assert told[0].endswith("0 statements sent, 47 s")
    clock.now += 9
    beat.beat()
    assert len(told) == 1


def test_it_says_which_statement_runs_where_and_for_how_long(beating, clock, told):
    answered = []
    beat = beating()
    heard = beat.around(lambda event: answered.append(event) or "go")
    assert heard(events.RevisionStarted(context=0, revision="r1", file="versions/r1.py")) == "go"
    assert heard(statement("UPDATE big\n  SET a = 1 -- " + "x" * 300)) == "go", "the answer is the handler's"
    clock.now += 12
    beat.beat()
    (line,) = told
    assert line.startswith("r1: versions/r1.py:7 runs for 12 s: UPDATE big SET a = 1 -- xxx")
    assert "\n" not in line
    assert len(line) < 200
    assert beat.under_way.startswith("under way was, in r1: UPDATE big SET a = 1")
    heard(events.StatementFailed(position=1, seconds=12, error="boom", sqlstate=None))
    assert beat.under_way == "no statement was under way"
    assert len(answered) == 3


@pytest.mark.parametrize(
    ("blockers", "end"),
    [
        ([], ""),
        (["pid 7 (app)"], "\n      in the way may be: pid 7 (app)"),
        ([f"pid {n}" for n in range(9)], "\n      in the way may be: pid 0; pid 1; pid 2"),
        (DatabaseError("gone"), ""),
    ],
)
def test_who_may_be_in_the_way_is_named_where_somebody_knows(beating, clock, told, blockers, end):
    def look():
        if isinstance(blockers, Exception):
            raise blockers
        return blockers

    beat = beating(SimpleNamespace(blockers=look))
    beat.around(lambda _event: None)(statement(file=None, line=None))
    clock.now += 30
    beat.beat()
    assert told == [f"env.py: runs for 30 s: UPDATE big SET a = 1{end}"]


def test_a_statement_that_only_just_began_is_not_called_long(beating, clock, told):
    beat = beating(SimpleNamespace(blockers=lambda: pytest.fail("nobody is asked for that")))
    hear = beat.around(lambda _event: None)
    clock.now += 9.5
    hear(statement())
    clock.now += 0.6
    beat.beat()
    assert told == ["env.py: 1 statement sent, 10 s"]

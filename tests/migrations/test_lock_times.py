"""For how long a transaction's locks were held: from the statement that took them to its end, by the child's clock."""

from types import SimpleNamespace

from ci_migrate.databases.measuring import Ran, Taken
from ci_migrate.migrations import events
from ci_migrate.migrations.lock_times import Sent, with_taken
from ci_migrate.model import LockHeld, Statement


def statement(position: int, **fields) -> Statement:
    given = {"context": 0, "revision": "r1", "file": None, "line": None, "sql": f"s{position}", "digest": "d"}
    return Statement(position=position, seconds=0.1, rows=None, **{**given, **fields})


def done(at: float, seconds: float = 0.5, rows: int | None = None, probed=None) -> events.StatementDone:
    return events.StatementDone(position=1, seconds=seconds, rows=rows, at=at, probed=probed)


def meter(*taken: Taken):
    asked: list = []

    def take(ran, *, committed, changed):
        asked.append((list(ran), committed, changed))
        return taken

    return SimpleNamespace(taken=take, asked=asked)


def lock(table: str, mode: str = "EXCLUSIVE", seconds: float | None = None) -> LockHeld:
    return LockHeld(table=table, mode=mode, seconds=seconds)


def test_a_lock_is_held_from_its_statement_to_the_end_of_the_transaction():
    statements = {1: statement(1), 2: statement(2)}
    sent = {1: Sent.of(done(10.0), None), 2: Sent.of(done(12.0), None)}
    asked = meter(Taken(locks=(lock("a"),)), Taken(locks=(lock("b"),), rewrites=("b",)))
    with_taken(statements, sent, asked, (15.0, True), "", (), [("a", "7")])
    assert [(s.locks[0].table, s.locks[0].seconds) for s in statements.values()] == [("a", 5.5), ("b", 3.5)]
    assert statements[2].rewrites == ("b",)
    assert asked.asked == [([Ran("s1"), Ran("s2")], True, [("a", "7")])]


def test_time_that_went_into_measuring_makes_no_negative_one():
    statements = {1: statement(1)}
    with_taken(
        statements, {1: Sent.of(done(10.0), None)}, meter(Taken(locks=(lock("a"),))), (3.0, False), "", ()
    )
    assert statements[1].locks[0].seconds == 0.0


def test_alembics_own_tables_do_not_count():
    statements = {1: statement(1), 2: statement(2)}
    sent = {1: Sent.of(done(1.0), None), 2: Sent.of(done(1.0), None)}
    taken = meter(Taken(locks=(lock("alembic_version"),)), Taken(locks=(lock("alembic_version"), lock("t"))))
    with_taken(statements, sent, taken, (2.0, True), "", {"alembic_version"})
    assert statements[1] == statement(1)
    assert [held.table for held in statements[2].locks] == ["t"]


def test_of_a_lock_that_several_transactions_took_the_longest_counts():
    statements = {1: statement(1, rewrites=("t",))}
    for begins, ends in ((0.0, 1.0), (5.0, 9.0), (10.0, 10.5)):
        sent = {1: Sent.of(done(begins, seconds=0.0), None)}
        with_taken(statements, sent, meter(Taken(locks=(lock("t"), lock("t", "SHARE")), rewrites=("t",))),
                   (ends, True), "", ())  # fmt: skip
    assert [(held.mode, held.seconds) for held in statements[1].locks] == [("EXCLUSIVE", 4.0), ("SHARE", 4.0)]
    assert statements[1].rewrites == ("t",), "named once"


def test_of_a_loop_the_first_round_says_when_it_began_and_all_say_how_many_rows():
    first = Sent.of(done(2.0, seconds=0.5, rows=3, probed=(("a",),)), None)
    second = Sent.of(done(9.0, seconds=0.5, rows=4, probed=(("b",),)), first)
    assert (second.begun, second.rows, second.probed) == (1.5, 7, (("a",), ("b",)))
    silent = Sent.of(done(10.0, rows=None, probed=None), second)
    assert (silent.rows, silent.probed) == (7, (("a",), ("b",))), (
        "a round of which nothing is told takes nothing away"
    )
    late = Sent.of(done(11.0, probed=(("c",),)), Sent.of(done(1.0), None))
    assert late.probed == (("c",),)

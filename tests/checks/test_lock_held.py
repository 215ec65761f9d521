"""CM301, CM302 and CM303 on evidence that is made up: what counts, and what does not."""

from typing import Any

import pytest
from ledger_support import a_plan, some_evidence

from ci_migrate.checks import lock_held, rows_locked, table_rewritten, transaction_split
from ci_migrate.checks.base import Facts
from ci_migrate.model import CommitPoint, LockHeld, RowCount, Statement


def statement(position: int = 1, *, seconds: float = 0.1, **changes: Any) -> Statement:
    fields = {
        "context": 0, "revision": "r1", "file": "r1.py", "line": position, "sql": "x", "digest": str(position),
        "rows": None, **changes,
    }  # fmt: skip
    return Statement(position=position, seconds=seconds, **fields)


def lock(**changes: Any) -> LockHeld:
    fields = {
        "table": "t",
        "mode": "ACCESS EXCLUSIVE",
        "seconds": 3.0,
        "blocks": "reads and writes",
        **changes,
    }
    return LockHeld(**fields)


def facts(
    *statements: Statement, rows: int = 5, commit_points: tuple[CommitPoint, ...] = (), ddl: bool = True
) -> Facts:
    found = some_evidence(
        statements=statements, row_counts_before={"t": RowCount(rows=rows)}, commit_points=commit_points
    )
    return Facts(plan=a_plan(), evidence=found, lock_budget=2.0, transactional_ddl=ddl)


@pytest.mark.parametrize(
    ("held", "rows", "severities"),
    [
        (lock(), 5, ["warning"]),
        (lock(seconds=20.1), 5, ["error"]),
        (lock(seconds=2.0), 5, []),
        (lock(blocks=""), 5, []),
        (lock(), 0, []),
        (lock(table="new"), 5, []),
        (lock(table="", mode="RESERVED", blocks="writes"), 5, ["warning"]),
        (lock(table="", mode="RESERVED", blocks="writes"), 0, []),
    ],
)
def test_a_lock_is_too_long(held: LockHeld, rows: int, severities: list[str]) -> None:
    found = list(lock_held.find(lock_held.CHECK, facts(statement(locks=(held,)), rows=rows)))
    assert [f.severity.value for f in found] == severities
    for finding in found:
        assert f"{held.mode} on " in finding.message
        assert (
            f"held for {held.seconds:.1f} s until the commit (0.1 s of it in statements)" in finding.message
        )


def test_an_error_is_what_statements_took_while_it_was_held() -> None:
    before, taker, slow = statement(1, seconds=9.0), statement(2, locks=(lock(),)), statement(3, seconds=2.0)
    found = {
        n: list(
            lock_held.find(
                lock_held.CHECK, facts(before, taker, slow, commit_points=(commit_point(1), commit_point(n)))
            )
        )
        for n in (2, 3)
    }
    assert [f.severity.value for f in found[2] + found[3]] == ["warning", "error"]
    assert "(2.1 s of it in statements)" in found[3][0].message


def test_of_each_table_the_longest_lock_alone() -> None:
    ran = (
        statement(1, locks=(lock(seconds=2.5),)),
        statement(2, locks=(lock(), lock(seconds=2.1, mode="SHARE"))),
    )
    (found,) = lock_held.find(lock_held.CHECK, facts(*ran))
    assert found.line == 2


def test_rows_are_locked_too_long_where_another_transaction_locks_the_table() -> None:
    rows = lock(mode="ROW EXCLUSIVE", blocks="", rows=1_000)
    ran = (statement(1, locks=(lock(),)), statement(2, locks=(rows,)))
    apart = facts(*ran, commit_points=(commit_point(1), commit_point(2)))
    (found,) = rows_locked.find(rows_locked.CHECK, apart)
    assert found.line == 2
    together = facts(*ran, commit_points=(commit_point(2),))
    assert list(rows_locked.find(rows_locked.CHECK, together)) == [], "that is CM301's"
    assert list(rows_locked.find(rows_locked.CHECK, facts(*ran))) == []


def test_what_is_measured_on_rows_is_not_looked_at_without_them() -> None:
    assert rows_locked.CHECK.needs_rows


def test_a_long_rewrite_is_said_once() -> None:
    slow = facts(statement(seconds=2.9, locks=(lock(),), rewrites=("t", "new")))
    (found,) = table_rewritten.find(table_rewritten.CHECK, slow)
    assert found.severity.value == "error"
    assert "5 rows was rewritten in 2.9 s under ACCESS EXCLUSIVE" in found.message
    assert list(lock_held.find(lock_held.CHECK, slow)) == []


def test_a_rewrite_under_a_lock_that_an_earlier_statement_took() -> None:
    ran = (statement(1, locks=(lock(),)), statement(2, rewrites=("t",)))
    (found,) = table_rewritten.find(table_rewritten.CHECK, facts(*ran))
    assert (found.severity.value, found.line) == ("info", 2)
    assert list(table_rewritten.find(table_rewritten.CHECK, facts(*ran, rows=0))) == []
    online = facts(statement(rewrites=("t",), locks=(lock(blocks=""),)))
    assert list(table_rewritten.find(table_rewritten.CHECK, online)) == []


def commit_point(statements: int, *, complete: bool = False) -> CommitPoint:
    return CommitPoint(
        position=1, context=0, revision="r1", complete=complete, statements=statements, heads=(), delta={}
    )


@pytest.mark.parametrize(
    ("commits", "line"),
    [((2,), 2), ((1, 3), 3), ((1, 4), 1), ((0, 2), 2), ((4,), None), ((0, 4), None), ((), None)],
)
def test_a_revision_commits_in_its_middle(commits: tuple[int, ...], line: int | None) -> None:
    ran = [statement(n) for n in (1, 2, 3, 4)] + [statement(5, file=None, line=None)]
    commit_points = (*(commit_point(n) for n in commits), commit_point(5, complete=True))
    found = list(transaction_split.find(transaction_split.CHECK, facts(*ran, commit_points=commit_points)))
    assert [f.line for f in found] == ([line] if line else [])
    assert (
        list(
            transaction_split.find(
                transaction_split.CHECK, facts(*ran, commit_points=commit_points, ddl=False)
            )
        )
        == []
    )

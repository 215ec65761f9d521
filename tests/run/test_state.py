"""Rows beside what they were: equal, left by the migration, written by somebody else, or too many to read."""

import pytest
from ledger_support import some_evidence

from ci_migrate.model import ColumnContent, Comparison, RowCount, Statement, TableContent, TableEvidence
from ci_migrate.run.state import compare_rows, named_tables


def holding(rows: int, *, points: str | None, name: str | None = "n0") -> TableContent:
    digest = None if None in (points, name) else f"{points}{name}"
    columns = {
        "points": ColumnContent(values=rows, digest=points),
        "name": ColumnContent(values=rows, digest=name),
    }
    return TableContent(rows=rows, digest=digest, columns=columns)


BEFORE = {"customers": holding(30, points="p0")}
REHEARSED = {"customers": TableEvidence(before=BEFORE["customers"], after=holding(30, points="p1"))}


def compare(now: TableContent | None) -> Comparison:
    return compare_rows(BEFORE, REHEARSED, {} if now is None else {"customers": now})


def test_equal() -> None:
    assert compare(holding(30, points="p0")) == Comparison(compared=("the rows of 1 table",))


@pytest.mark.parametrize("name", ["n0", "n1"])  # somebody may have written another column besides
def test_F40_what_the_dry_run_led_to_is_wrong(name: str) -> None:
    found = compare(holding(30, points="p1", name=name))
    assert found.wrong == (
        "the rows of customers are those that the migration leads to: it wrote past its transaction",
    )


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (holding(30, points="p7"), "customers (points)"),
        (holding(30, points="p0", name="n1"), "customers (name)"),
        (holding(31, points="p0"), "customers (30 rows, now 31)"),
    ],
)
def test_other_rows_are_told_and_not_called_equal(now: TableContent, words: str) -> None:
    found = compare(now)
    assert (found.wrong, found.compared) == ((), ())
    assert found.exceptions == (
        f"other rows than before in {words}: somebody else wrote them, or the migration past its transaction",
    )


def test_a_table_that_is_gone_is_wrong() -> None:
    assert compare(None).wrong == ("table customers is gone",)


def test_counts_alone_prove_nothing() -> None:
    found = compare_rows({"big": TableContent(rows=5)}, {}, {"big": TableContent(rows=5)})
    assert found == Comparison(not_compared=("rows of big: too many to read",))


def test_an_empty_table_needs_no_digest() -> None:
    assert compare_rows({"t": TableContent(rows=0)}, {}, {"t": TableContent(rows=0)}).compared == (
        "the rows of 1 table",
    )


def a_statement(sql: str) -> Statement:
    fields = {"position": 1, "context": 0, "revision": "r1", "file": None, "line": None}
    return Statement(**fields, sql=sql, digest="d", seconds=0.1, rows=None)


@pytest.mark.parametrize(
    ("table", "sql", "named"),
    [
        ("public.orders", "UPDATE orders SET a = 1", True),
        ("public.Orders", "update ORDERS set a = 1", True),
        ("orders", "UPDATE reorders SET a = 1", False),
        ("orders", "UPDATE orders_old SET a = 1", False),
        ("order items", 'UPDATE "order items" SET a = 1', True),
        ("order-items", "UPDATE `order-items` SET a = 1", True),
        ("public.größe", "UPDATE größe SET a = 1", True),
        ("a$b", "UPDATE a$b SET a = 1", True),
        ("order-items", "UPDATE `order` SET a = 1", False),
    ],
)
def test_the_tables_that_a_statement_names_whatever_they_are_called(table, sql, named) -> None:
    """What is not named here is not looked at after a failure, and its rows are called untouched by nobody."""
    evidence = some_evidence(
        statements=(a_statement(sql),),
        row_counts_before={table: RowCount(rows=1, exact=True)},
    )
    assert named_tables(evidence) == ({table} if named else set())

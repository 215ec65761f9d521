"""What neither backup nor dry run explains, in words with counts."""

import pytest

from ci_migrate.model import ColumnContent, TableContent
from ci_migrate.repairs.foreign_writes import describe_loss, find_unexplained, rows


def content(rows: int, digest: str | None = "d", **columns: str) -> TableContent:
    """Columns by the digest of what they hold."""
    held = {name: ColumnContent(values=rows, digest=text) for name, text in columns.items()}
    return TableContent(rows=rows, digest=digest, columns=held)


TEN = content(10, total="1", note="1")


@pytest.mark.parametrize(
    ("expected", "found", "words"),
    [
        (TEN, TEN, ""),
        (None, None, ""),
        (TEN, None, "table t is gone"),
        (None, TEN, "table t is new"),
        (TEN, content(11), "table t: 1 row that the backup and the rehearsal do not explain"),
        (TEN, content(1010), "table t: 1,000 rows that the backup and the rehearsal do not explain"),
        (TEN, content(7), "table t lacks 3 rows of the backup and the rehearsal"),
        (
            TEN,
            content(10, "other", total="2", note="1"),
            "table t: values in total that the backup and the rehearsal do not explain (10 rows)",
        ),
        (content(9, None), content(9, None), "table t is too large to tell whether somebody else wrote"),
        (content(0, None), content(0, None), ""),
    ],
)
def test_M15_what_is_not_explained_is_told_with_counts(expected, found, words) -> None:
    assert find_unexplained({"t": expected}, {"t": found} if found is not None else {}) == words


def test_M15_three_tables_are_named_and_the_others_counted() -> None:
    expected = dict.fromkeys("abcde", TEN)
    words = find_unexplained(expected, dict.fromkeys("abcde", content(11)))
    assert [part.split(":")[0] for part in words.split("; ")] == [
        "table a",
        "table b",
        "table c",
        "and 2 tables more",
    ]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"t": TEN}, "loses nothing"),
        ({"t": content(13)}, "loses 3 rows written since"),
        ({"t": content(11), "u": content(5)}, "loses 1 row written since"),
        ({"t": content(10, "other", total="2", note="1")}, "loses what was changed in them since"),
        ({"t": content(7)}, "loses what was changed in them since"),
        ({}, "loses what was changed in them since"),
    ],
)
def test_what_a_restore_of_tables_would_lose(found, words) -> None:
    assert describe_loss({"t": TEN}, found) == words


def test_of_many_columns_that_differ_some_are_named() -> None:
    wide = {f"c{n}": "1" for n in range(9)}
    told = find_unexplained({"t": content(3, **wide)}, {"t": content(3, "x", **dict.fromkeys(wide, "2"))})
    assert told.startswith("table t: values in c0, c1, c2, c3, c4 that the backup")
    assert "values in its rows" in find_unexplained({"t": content(3)}, {"t": content(3, "x")}), (
        "no column is known"
    )


@pytest.mark.parametrize(("number", "words"), [(0, "0 rows"), (1, "1 row"), (1204, "1,204 rows")])
def test_rows_are_counted_in_words(number, words) -> None:
    assert rows(number) == words

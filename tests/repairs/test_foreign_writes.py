"""What neither backup nor dry run explains, in words with counts."""

import pytest

from ci_migrate.model import ColumnContent, TableContent
from ci_migrate.repairs.foreign_writes import find_unexplained


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

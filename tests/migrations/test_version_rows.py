"""Version rows that make no sense, whatever the graph: unknown, covered by another row, or there twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_migrate.migrations import events
from ci_migrate.migrations.version_rows import row_troubles


def revision(name: str, *downs: str, depends_on: tuple[str, ...] = ()) -> events.GraphRevision:
    return events.GraphRevision(
        id=name, file=f"{name}.py", message="", down_revisions=downs, depends_on=depends_on,
        branch_labels=(), has_downgrade=True, allow={},
    )  # fmt: skip


GRAPH = [
    revision("a"),
    revision("b", "a"),
    revision("left", "b"),
    revision("right", "b"),
    revision("merge", "left", "right"),
    revision("other"),
    revision("needs", "other", depends_on=("left",)),
]


def context(*heads: str, schema: str | None = None, search_path: str | None = None) -> events.Context:
    table = events.Table(name="alembic_version", schema=schema, database="", search_path=search_path)
    return events.Context(key="", number=0, table=table, heads=heads, to_heads=(), revisions=())


def troubles(*heads: str) -> list[tuple[str, str, str]]:
    return [(t.kind, t.row, t.by) for t in row_troubles(GRAPH, [context(*heads)])]


@pytest.mark.parametrize(
    ("heads", "found"),
    [
        ((), []),
        (("merge",), []),
        (("left", "right"), []),
        (("left", "other"), []),
        (("left", "needs"), []),  # `depends_on` leaves both rows
        (("gone",), [("unknown", "gone", "")]),
        (("a", "left"), [("covered", "a", "left")]),
        (("merge", "left", "right"), [("covered", "left", "merge"), ("covered", "right", "merge")]),
        (("b", "b"), [("twice", "b", "")]),
        (("gone", "gone"), [("unknown", "gone", ""), ("twice", "gone", "")]),
        (("a", "gone", "left"), [("covered", "a", "left"), ("unknown", "gone", "")]),
        (("a", "a", "merge"), [("twice", "a", ""), ("covered", "a", "merge")]),
    ],
)
def test_what_is_wrong_with_the_rows(heads, found):
    assert troubles(*heads) == found
    assert troubles(*reversed(heads)) == found, "the order in which a table gives them means nothing"


def test_each_is_told_with_all_rows_and_by_the_tables_name():
    unknown, twice, covered = (
        row_troubles(GRAPH, [context(*heads, schema="tenant")])[0]
        for heads in (("gone",), ("b", "b"), ("a", "merge"))
    )
    assert unknown.words == "the revision gone, which the scripts do not have"
    assert twice.words == (
        "2 rows (b, b) where one is expected: b stands there twice, so tenant.alembic_version lacks its primary key"
    )
    assert covered.words == (
        "2 rows (a, merge) where one is expected: a is an ancestor of merge, not the head of a branch of its own"
    )
    by_path = row_troubles(GRAPH, [context("gone", search_path="one"), context("gone")])
    assert [t.table for t in by_path] == ["one.alembic_version", "alembic_version"]


def test_a_circle_in_the_scripts_ends():
    """Alembic refuses it, but not before this is asked."""
    circle = [revision("x", "y"), revision("y", "x")]
    found = row_troubles(circle, [context("x", "y")])
    assert [(t.kind, t.row) for t in found] == [("covered", "x"), ("covered", "y")]


@given(data=st.data())
def test_heads_that_alembic_itself_would_leave_are_never_wrong(data):
    """Of any graph: what no other chosen revision builds upon."""
    names = [f"r{n}" for n in range(data.draw(st.integers(1, 9)))]
    graph = []
    for number, name in enumerate(names):
        downs = data.draw(st.sets(st.sampled_from(names[:number]), max_size=2)) if number else set()
        graph.append(revision(name, *sorted(downs)))
    applied: set[str] = set()
    wanted = data.draw(st.sets(st.sampled_from(names)))
    by_id = {one.id: one for one in graph}

    def apply(name: str) -> None:
        for down in by_id[name].down_revisions:
            apply(down)
        applied.add(name)

    for name in wanted:
        apply(name)
    heads = applied - {down for name in applied for down in by_id[name].down_revisions}
    assert row_troubles(graph, [context(*heads)]) == []
    if covered := applied - heads:
        row = min(covered)
        assert "covered" in {t.kind for t in row_troubles(graph, [context(*heads, row)])}

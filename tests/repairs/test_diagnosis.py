"""Which commit point a target stands on: heads, fingerprint, journal, the engine's word, rows."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from repair_support import F0, PLAN, THREE, commit_point, evidence, fingerprint, statement

from ci_migrate.model import (
    EntryKind,
    Fingerprint,
    JournalEntry,
    RowCount,
    TableContent,
    TableEvidence,
    same_change,
)
from ci_migrate.repairs.diagnosis import (
    NOBODY,
    Witness,
    base_of,
    begun,
    diagnose,
    revisions_done,
    rows_on,
    sent_of,
    standing_commits,
    within,
)


def entry(kind: str, position: int = 0, revision: str | None = None, note: str = "") -> JournalEntry:
    return JournalEntry(
        kind=EntryKind(kind), position=position, context=0, revision=revision, note=note, at=datetime.now(UTC)
    )


def sent(*positions: int) -> list[JournalEntry]:
    return [entry("statement", position) for position in positions]


@pytest.mark.parametrize(
    ("head", "objects", "journal", "found", "at"),
    [
        ("r0", {}, [], "not started", 0),
        ("r0", {}, sent(1), "rolled back", 0),
        ("r1", {"table a": "a"}, sent(1, 2), "revision committed", 1),
        ("r2", {"table a": "a"}, sent(1, 2, 3, 4), "revision committed", 2),
        ("r3", {"table b": "b"}, sent(1, 2, 3, 4, 5, 6), "finished", 3),
        ("r1", {"table a": "other"}, sent(1, 2), "unknown", None),
        ("r1", {}, sent(1, 2), "unknown", None),
        ("r0", {"table a": "a"}, sent(1, 2), "unknown", None),
        ("r0", {"table hand": "made"}, sent(1), "unknown", None),
        ("elsewhere", {}, sent(1), "unknown", None),
    ],
)
def test_heads_and_fingerprint_name_the_rung(head, objects, journal, found, at) -> None:
    diagnosis = diagnose(PLAN, THREE, F0, fingerprint(**objects), ((head,),), journal)
    assert (diagnosis.found, diagnosis.commit_point) == (found, at)


def test_an_object_that_differed_before_may_differ_after() -> None:
    """A restored copy's checks read differently; what changed must be the same, not how it reads."""
    target = Fingerprint(objects={"check c": "as written"})
    copy = Fingerprint(objects={"check c": "deparsed"})
    assert same_change({"check c": "changed, as written"}, {"check c": "changed, deparsed"}, target, copy)
    assert not same_change({"check c": "changed"}, {"check c": "otherwise"}, target, target)
    assert not same_change({}, {"check c": "changed, deparsed"}, target, copy)


def test_an_object_changed_and_changed_back_is_no_change() -> None:
    there_and_back = evidence(
        commit_point(1, "r1", "r1", 1, delta={"table users": "v"}),
        commit_point(2, "r2", "r2", 2, delta={"table users": "u"}),
    )
    assert diagnose(PLAN, there_and_back, F0, F0, (("r2",),), sent(1, 2)).commit_point == 2


# --------------------------------------------------------------------------- commit points that look alike

BLOCK = evidence(
    commit_point(1, "r1", "r0", 1, complete=False, contents={"users": TableContent(rows=3, digest="one")}),
    commit_point(2, "r1", "r0", 2, complete=False, contents={"users": TableContent(rows=3, digest="two")}),
    commit_point(3, "r1", "r1", 4, contents={"users": TableContent(rows=3, digest="three")}),
    statements=tuple(statement(n, "r1") for n in range(1, 5)),
    tables={
        "users": TableEvidence(
            before=TableContent(rows=3, digest="none"), after=TableContent(rows=3, digest="three")
        )
    },
)
"""A revision whose first two statements commit by themselves and change rows only: ground, 1 and 2 look alike."""


def at_the_block(journal, witness: Witness = NOBODY) -> tuple[str, int | None]:
    diagnosis = diagnose(PLAN, BLOCK, F0, F0, (("r0",),), journal, witness)
    return diagnosis.found, diagnosis.commit_point


def partial(position: int) -> JournalEntry:
    return entry("committed", position, "r1", "partial")


def test_no_statement_sent_is_the_ground() -> None:
    assert at_the_block([]) == ("not started", 0)


def test_a_statement_that_may_have_committed_by_itself_is_never_called_rolled_back() -> None:
    assert at_the_block(sent(1)) == ("unknown", None)
    assert at_the_block([*sent(1), partial(1), *sent(2)]) == ("unknown", None)


def test_the_last_commit_that_was_written_down_decides_where_nothing_was_sent_after_it() -> None:
    assert at_the_block([*sent(1), partial(1)]) == ("half a revision", 1)
    assert at_the_block([*sent(1), partial(1), *sent(2), partial(2)]) == ("half a revision", 2)


def test_too_few_statements_for_the_next_commit() -> None:
    """Rung 3 needs two statements more: after one of them it can't be reached, whatever the rows say."""
    data_only = evidence(
        commit_point(1, "r1", "r0", 1, complete=False), commit_point(2, "r1", "r0", 3, complete=False),
        commit_point(3, "r1", "r1", 4), statements=tuple(statement(n, "r1") for n in range(1, 5)),
    )  # fmt: skip
    journal = [*sent(1), partial(1), *sent(2)]
    assert diagnose(PLAN, data_only, F0, F0, (("r0",),), journal).commit_point == 1
    journal += sent(3)
    assert diagnose(PLAN, data_only, F0, F0, (("r0",),), journal).commit_point is None


def test_a_commit_that_nobody_asked_for_was_not_made() -> None:
    """MySQL: a change of rows, committed when the next DDL statement asks for it; that one was never sent."""
    first = commit_point(1, "r1", "r0", 1, complete=False, announced=True)
    ladder = evidence(
        first, commit_point(2, "r1", "r1", 2), statements=(statement(1, "r1"), statement(2, "r1"))
    )
    assert diagnose(PLAN, ladder, F0, F0, (("r0",),), sent(1)).commit_point == 0
    asked = [*sent(1), entry("committing", 1)]
    assert diagnose(PLAN, ladder, F0, F0, (("r0",),), asked).commit_point is None


def test_loops_of_any_length_tell_nothing() -> None:
    looped = evidence(
        commit_point(1, "r1", "r0", 1, complete=False), commit_point(2, "r1", "r0", 5, complete=False), commit_point(3, "r1", "r1", 6),
        statements=(statement(1, "r1"), statement(2, "r1", repeats=4), statement(6, "r1")),
    )  # fmt: skip
    assert diagnose(PLAN, looped, F0, F0, (("r0",),), [*sent(1), partial(1), *sent(2)]).commit_point is None


def test_the_rows_decide_where_the_dry_run_kept_them() -> None:
    for digest, found in (("none", ("rolled back", 0)), ("one", ("half a revision", 1))):
        rows = {"users": TableContent(rows=3, digest=digest)}
        assert at_the_block(sent(1), Witness(contents=lambda _t, rows=rows: rows)) == found


@pytest.mark.parametrize(
    "found", [TableContent(rows=4, digest="others wrote"), TableContent(rows=3, digest=None)]
)
def test_rows_that_others_wrote_or_too_many_to_read_decide_nothing(found) -> None:
    assert at_the_block(sent(1), Witness(contents=lambda _t: {"users": found})) == ("unknown", None)


def test_only_tables_that_differ_between_the_candidates_are_read() -> None:
    asked: list[str] = []

    def contents(tables):
        asked.extend(tables)
        return {"users": TableContent(rows=3, digest="one")}

    assert at_the_block(sent(1), Witness(contents=contents)) == ("half a revision", 1)
    assert asked == ["users"]


BATCHES = replace(
    evidence(
        commit_point(1, "r1", "r0", 1, complete=False, changed={"users": TableContent(rows=3, digest="one")}),
        commit_point(2, "r1", "r0", 2, complete=False, changed={"users": TableContent(rows=3, digest="one")}),
        commit_point(3, "r1", "r1", 3),
        statements=(statement(1, "r1", repeats=2), statement(3, "r1")),
    ),
    row_counts_before={"users": RowCount(rows=3), "notes": RowCount(rows=1)},
)
"""A loop that commits in batches, the second of which finds nothing left to change."""


@pytest.mark.parametrize(
    ("evidence", "rows", "commit_point"),
    [
        (BATCHES, TableContent(rows=3, digest="one"), 1),
        (BATCHES, TableContent(rows=4, digest="others wrote"), None),
        (BATCHES, TableContent(rows=3), None),
        (replace(BATCHES, statements=(statement(1, "r1", "UPDATE notes SET x = 1", repeats=2),)), None, None),
        (replace(BATCHES, commit_points=(BATCHES.commit_points[0], replace(BATCHES.commit_points[1], changed={}), *BATCHES.commit_points[2:])), TableContent(rows=3, digest="one"), None),
    ],
)  # fmt: skip
def test_a_batch_that_changes_nothing_leads_nowhere_else(evidence, rows, commit_point) -> None:
    """Only where the tables that it names hold what they held on the copy; of others nobody knows."""
    witness = Witness(
        contents=lambda _t: {
            "users": rows or TableContent(rows=3, digest="one"),
            "notes": TableContent(rows=1, digest="n"),
        }
    )
    diagnosis = diagnose(PLAN, evidence, F0, F0, (("r0",),), [*sent(1), partial(1), *sent(2)], witness)
    assert diagnosis.commit_point == commit_point


@pytest.mark.parametrize(("digest", "commit_point"), [("one", 1), ("two", 2), ("others wrote", None)])
def test_each_batch_is_known_by_its_rows(digest, commit_point) -> None:
    two = replace(BATCHES.commit_points[1], changed={"users": TableContent(rows=3, digest="two")})
    batches = replace(BATCHES, commit_points=(BATCHES.commit_points[0], two, BATCHES.commit_points[2]))
    witness = Witness(contents=lambda _t: {"users": TableContent(rows=3, digest=digest)})
    journal = [*sent(1), partial(1), *sent(2)]
    assert diagnose(PLAN, batches, F0, F0, (("r0",),), journal, witness).commit_point == commit_point


@pytest.mark.parametrize(
    ("engine", "found"),
    [(True, ("half a revision", 1)), (False, ("rolled back", 0)), (None, ("unknown", None))],
)
def test_the_engine_is_asked_for_a_commit_whose_answer_was_lost(engine, found) -> None:
    asked = []

    def committed(transaction):
        asked.append(transaction)
        return engine

    assert (
        at_the_block([*sent(1), entry("committing", 1, "r1", "4711")], Witness(committed=committed)) == found
    )
    assert asked == ["4711"]


def test_an_engine_without_transaction_ids_is_not_asked() -> None:
    def committed(_transaction):
        raise AssertionError

    assert (
        at_the_block([*sent(1), entry("committing", 1, "r1")], Witness(committed=committed))[0] == "unknown"
    )


def test_commits_that_are_not_those_of_the_dry_run_decide_nothing() -> None:
    assert at_the_block([*sent(1), entry("committed", 1, "other", "partial")]) == ("unknown", None)
    assert at_the_block([*sent(1), entry("committed", 1, "r1", "complete")]) == ("unknown", None)


def test_a_second_try_begins_anew() -> None:
    """What a first try sent before it was rolled back is no statement after the last commit."""
    two = evidence(
        commit_point(1, "r1", "r0", 2, complete=False), commit_point(2, "r1", "r1", 3),
        statements=tuple(statement(n, "r1") for n in range(1, 4)),
    )  # fmt: skip
    assert diagnose(PLAN, two, F0, F0, (("r0",),), [*sent(1, 2), *sent(1)]).commit_point == 0


# --------------------------------------------------------------------------- env.py's own commits


@pytest.mark.parametrize("sql", ["CREATE TABLE alembic_version (x)", "BEGIN IMMEDIATE", "COMMIT"])
def test_what_env_py_sends_for_itself_is_no_step(sql) -> None:
    made = evidence(
        commit_point(1, None, "r0", 1), commit_point(2, "r1", "r1", 2, delta={"table a": "a"}),
        statements=(statement(1, None, sql), statement(2, "r1")),
    )  # fmt: skip
    for journal in (sent(1), [*sent(1), entry("committed", 1, None, "complete")], sent(1, 2)):
        assert diagnose(PLAN, made, F0, F0, (("r0",),), journal).commit_point == 0


def test_rows_that_env_py_wrote_are_a_step() -> None:
    wrote = evidence(
        commit_point(1, None, "r0", 1), commit_point(2, "r1", "r1", 2, delta={"table a": "a"}),
        statements=(statement(1, None, "INSERT INTO log VALUES (1)"), statement(2, "r1")),
    )  # fmt: skip
    journal = [*sent(1), entry("committed", 1, None, "complete")]
    diagnosis = diagnose(PLAN, wrote, F0, F0, (("r0",),), journal)
    assert (diagnosis.found, diagnosis.commit_point) == ("revision committed", 1)
    assert "None" not in diagnosis.words


# --------------------------------------------------------------------------- without a dry run


@pytest.mark.parametrize(
    ("head", "objects", "journal", "found"),
    [
        ("r0", {}, sent(1), "rolled back"),
        ("r3", {"table a": "a"}, [*sent(1), entry("committed", 1, "r3", "complete")], "finished"),
        ("r3", {}, [*sent(1), partial(1), entry("committed", 1, "r3", "complete")], "unknown"),
        ("r3", {}, sent(1), "unknown"),  # somebody stamped it
        ("r2", {"table a": "a"}, [*sent(1), entry("committed", 1, "r2", "complete")], "unknown"),
        ("r0", {}, [*sent(1), partial(1)], "unknown"),
    ],
)
def test_without_a_dry_run_only_start_and_end_are_told(head, objects, journal, found) -> None:
    assert diagnose(PLAN, None, F0, fingerprint(**objects), ((head,),), journal).found == found


def test_words_count_the_statements_of_the_revision_itself() -> None:
    later = evidence(
        commit_point(1, "r1", "r1", 10, delta={"table a": "a"}), commit_point(2, "r2", "r1", 13, complete=False, delta={"table b": "b"}),
        commit_point(3, "r2", "r2", 15),
    )  # fmt: skip
    now = fingerprint(**{"table a": "a", "table b": "b"})
    words = diagnose(PLAN, later, F0, now, (("r1",),), sent(*range(1, 14))).words
    assert words == "revision r2 was committed up to its statement 3, not to its end"


# --------------------------------------------------------------------------- what was sent of half a revision


def spelled(words: str) -> list[JournalEntry]:
    """`r1:a` is a statement of a revision, `.` a commit, `r1=2` a resumption with so many statements left out."""
    found, position = [], 0
    for word in words.split():
        kind, revision, digest = "statement", None, ""
        if word == ".":
            kind = "committed"
        elif "=" in word:
            kind, (revision, count) = "resumed", word.split("=")
            position = int(count)
        else:
            revision, digest = word.split(":")
            position += 1
        found.append(
            JournalEntry(
                kind=EntryKind(kind),
                position=position,
                context=0,
                revision=revision,
                digest=digest,
                at=datetime.now(UTC),
            )
        )
        if kind == "resumed":
            position = 0
    return found


@pytest.mark.parametrize(
    ("journal", "commit_point", "sent"),
    [
        ("r1:a . r2:b r2:b r2:c . r2:d", 2, ["b", "b", "c"]),  # a loop took a round more than rehearsed
        ("r1:a . r2:b r2:c r2:d", 2, ["b", "c", "d"]),  # the news of the commit was lost
        ("r1:a . r2:b r2:c . r2:d . r2:e", 3, ["b", "c", "d"]),
        ("r1:a . r2:b . r2=1 r2:c . r2:d", 3, ["b", "c"]),  # went on once already
    ],
)
def test_what_was_sent_up_to_the_commit(journal, commit_point, sent) -> None:
    assert sent_of(spelled(journal), (0, "r2"), commit_point) == sent


# --------------------------------------------------------------------------- what stands above and below


def test_commits_that_were_taken_back_do_not_stand() -> None:
    def commits(*entries: JournalEntry) -> list[int]:
        return [e.position for e in standing_commits(entries)]

    first, second, third = (entry("committed", n, f"r{n}") for n in (1, 2, 3))
    assert commits(first, second, third) == [1, 2, 3]
    assert commits(first, second, entry("restored", 1), third) == [1, 3], "all above one commit is gone"
    assert commits(first, second, entry("undone", 0)) == []
    assert commits(entry("statement", 1), entry("committing", 1)) == []


def test_the_highest_whole_state_with_these_heads_is_what_one_goes_back_to() -> None:
    half = evidence(
        commit_point(1, "r1", "r1", 2),
        commit_point(2, "r2", "r1", 3, complete=False),
        commit_point(3, "r2", "r2", 4),
        statements=tuple(statement(n, f"r{r}") for n, r in ((1, 1), (2, 1), (3, 2), (4, 2))),
    )
    assert base_of(PLAN, half, (("r1",),), 3) == 1, "half a revision is no state to go back to"
    assert base_of(PLAN, half, (("r2",),), 3) == 3
    assert base_of(PLAN, half, (("r2",),), 2) is None, "that was not reached"
    assert base_of(PLAN, half, (("r0",),), 3) == 0
    assert base_of(PLAN, half, (("elsewhere",),), 3) is None


def test_a_block_that_commits_what_came_before_has_begun_nothing_of_its_own() -> None:
    sent = (statement(1, "r1"), statement(2, "r2"))
    before, after = (
        commit_point(1, "r2", "r1", 1, complete=False),
        commit_point(2, "r2", "r1", 2, complete=False),
    )
    found = evidence(before, after, statements=sent)
    assert (begun(found, before), begun(found, after)) == (False, True)
    assert begun(found, commit_point(1, None, "r0", 1)), "of env.py's own nobody can tell"
    assert begun(found, commit_point(1, "r9", "r0", 1)), "a revision that sent nothing is through"
    assert base_of(PLAN, found, (("r1",),), 2) == 1


def test_statements_of_a_revision_are_counted_from_its_own_first() -> None:
    sent = tuple(statement(n, r) for n, r in ((1, None), (2, "r1"), (3, "r2"), (4, "r2"), (5, "r2")))
    found = evidence(
        commit_point(1, "r1", "r1", 2), commit_point(2, "r2", "r1", 4, complete=False),
        commit_point(3, "r2", "r2", 5), statements=sent,
    )  # fmt: skip
    assert [within(found, number) for number in (1, 2, 3)] == [1, 2, 3]


def test_revisions_that_are_done_are_those_up_to_the_last_that_committed() -> None:
    assert revisions_done(PLAN, THREE, 0) == ((),)
    assert revisions_done(PLAN, THREE, 1) == (("r1",),)
    assert revisions_done(PLAN, THREE, 3) == (("r1", "r2", "r3"),)
    one_transaction = evidence(commit_point(1, "r2", "r2", 4))
    assert revisions_done(PLAN, one_transaction, 1) == (("r1", "r2"),), "r1 was committed with it"


def test_the_rows_of_a_state_are_those_that_the_dry_run_kept() -> None:
    held, was = TableContent(rows=2, digest="2"), TableContent(rows=1, digest="1")
    kept = evidence(
        commit_point(1, "r1", "r1", 2, contents={"t": held, "new": held}),
        tables={"t": TableEvidence(before=was, after=held), "gone": TableEvidence(before=was, after=None)},
    )
    assert rows_on(kept, 1) == {"t": held, "new": held}
    assert rows_on(kept, 0) == {"t": was, "new": held, "gone": was}
    assert rows_on(THREE, 0) == rows_on(THREE, 2) == {}, "a large database: nobody kept them"

"""What a revision that stopped half-way has added, and whether it did nothing else."""

import msgspec
import pytest
from ledger_support import a_plan

from ci_migrate.model import (
    ColumnContent,
    CommitPoint,
    Diagnosis,
    Evidence,
    Fingerprint,
    PlannedContext,
    Progress,
    Statement,
    TableContent,
    TableEvidence,
    VersionTable,
    WayBack,
    sha256_hex,
)
from ci_migrate.repairs.additions import Additions, Found, find_additions

PLAN = a_plan(
    contexts=(
        PlannedContext(
            version_table=VersionTable(), from_heads=("r0",), to_heads=("r2",), revisions=("r1", "r2")
        ),
    )
)
BEFORE = {"table users": "users", "column users.name": "text", "column users.age": "integer"}
R1 = {"table first": "first"}
ADDED = {"column users.email": "text", "index users.ix": "(email)"}


def hashed(schema: dict[str, str | None]) -> dict[str, str | None]:
    return {name: text and sha256_hex(text.encode())[:16] for name, text in schema.items()}


def rehearsed(
    *steps: tuple[str, dict[str, str | None]], tables: dict[str, TableEvidence] | None = None
) -> Evidence:
    """r1 makes the table `first` by its statement 1; each statement of r2, with what it changes, is committed."""
    statements = [("r1", "CREATE TABLE first (a int)"), *(("r2", sql) for sql, _ in steps)]
    commit_points = [
        ("r1", True, R1, "r1"),
        *(("r2", False, made, "r1") for _, made in steps),
        ("r2", True, {}, "r2"),
    ]
    return Evidence(
        proven=True,
        statements=tuple(
            Statement(position=n, context=0, revision=revision, file=None, line=None, sql=sql, digest="", seconds=0.0,
                      rows=None)
            for n, (revision, sql) in enumerate(statements, start=1)
        ),
        commit_points=tuple(
            CommitPoint(position=n, context=0, revision=revision, complete=complete, statements=min(n, len(statements)),
                 heads=((head,),), delta=hashed(made))
            for n, (revision, complete, made, head) in enumerate(commit_points, start=1)
        ),
        before=Fingerprint.of(BEFORE), after=Fingerprint.of(BEFORE), tables=tables or {}, way_back=WayBack(tried=False),
    )  # fmt: skip


ADD_COLUMN = ("ALTER TABLE users ADD COLUMN email text", {"column users.email": "text"})
ADD_INDEX = ("CREATE INDEX ix ON users (email)", {"index users.ix": "(email)"})


def look(
    evidence: Evidence,
    now: dict[str, str],
    commit_point: int | None,
    *,
    sent: int | None = None,
    head: str = "r1",
) -> Additions:
    digests = [sha256_hex(s.sql.encode()) for s in evidence.statements if s.revision == "r2"]
    return find_additions(
        Found(
            plan=PLAN,
            evidence=evidence,
            diagnosis=Diagnosis(found=Progress.UNKNOWN, words="", commit_point=commit_point),
            before=Fingerprint.of(BEFORE),
            now=now,
            heads=((head,),),
            sent=lambda ran: digests[:sent] if ran == (0, "r2") else [],
        )
    )


def test_the_newest_goes_first_and_the_last_complete_revision_is_reached() -> None:
    found = look(rehearsed(ADD_COLUMN, ADD_INDEX), BEFORE | R1 | ADDED, 3)
    assert found.why_not == ""
    assert found.commit_point == 1
    assert found.batches == (("index users.ix",), ("column users.email",))
    assert found.columns == {"users": {"email"}}


def test_what_the_failed_statement_left_is_found_where_no_rung_fits() -> None:
    """The index exists and is INVALID; the column before it is there."""
    now = BEFORE | R1 | ADDED | {"index users.ix": "(email) INVALID"}
    found = look(rehearsed(ADD_COLUMN, ADD_INDEX), now, None)
    assert found.batches == (("index users.ix",), ("column users.email",))
    only_sent_one = look(rehearsed(ADD_COLUMN, ADD_INDEX), now, None, sent=1)
    assert "index users.ix is not as it was" in only_sent_one.why_not
    assert look(rehearsed(ADD_COLUMN), BEFORE | R1, None, sent=0).why_not == "nothing that it added is found"


def test_a_state_half_undone_is_undone_to_its_end() -> None:
    found = look(rehearsed(ADD_COLUMN, ADD_INDEX), BEFORE | R1 | {"column users.email": "text"}, None)
    assert found.batches == (("column users.email",),)


@pytest.mark.parametrize(
    ("steps", "changes", "reason"),
    [
        ([("ALTER TABLE users DROP age", {"column users.age": None})], {"column users.age": None}, "column users.age was dropped by it"),
        ([("ALTER TABLE users MODIFY age", {"column users.age": "bigint"})], {"column users.age": "bigint"}, "column users.age was changed by it"),
        ([("DROP TABLE first", {"table first": None}), ("CREATE TABLE first (a int)", R1)], {}, "table first was dropped by it"),
        ([ADD_COLUMN], {"column users.email": "varchar"}, "column users.email is not what the dry run made"),
        ([ADD_COLUMN], {"column users.email": "text", "table by_hand": "x"}, "table by_hand is not as it was"),
        ([ADD_COLUMN, ("UPDATE users SET age = 1", {})], {"column users.email": "text"}, "rows of users were written by `UPDATE users"),
        ([ADD_COLUMN, ("DELETE FROM users", {})], {"column users.email": "text"}, "what `DELETE FROM users` did can't be taken back"),
        ([ADD_COLUMN, ("UPDATE users SET email = name", {})], {"column users.email": "text"}, "it can't be told what else changed in users"),
    ],
)  # fmt: skip
def test_what_is_more_than_an_addition(
    steps: list[tuple[str, dict[str, str | None]]], changes: dict[str, str | None], reason: str
) -> None:
    now = {n: text for n, text in (BEFORE | R1 | changes).items() if text is not None}
    assert reason in look(rehearsed(*steps), now, len(steps) + 1).why_not


def content(*, age: str = "a", rows: int = 3, **columns: str) -> TableContent:
    held = {"name": "n", "age": age, **columns}
    return TableContent(
        rows=rows, digest="", columns={n: ColumnContent(values=rows, digest=d) for n, d in held.items()}
    )


@pytest.mark.parametrize(
    ("after", "more", "reason"),
    [
        (content(email="e"), {}, ""),
        (content(age="other", email="e"), {}, "column age of users may have changed with it"),
        (content(email="e", rows=4), {}, "column name of users may have changed"),
        (content(email="e"), {"trigger users.audit": "AFTER UPDATE"}, "trigger users.audit may have written other rows"),
    ],
)  # fmt: skip
def test_values_of_an_added_column_go_with_it(after: TableContent, more: dict[str, str], reason: str) -> None:
    measured = {"users": TableEvidence(before=content(), after=after)}
    evidence = rehearsed(ADD_COLUMN, ("UPDATE users SET email = name WHERE age > 3", {}), tables=measured)
    evidence = msgspec.structs.replace(evidence, before=Fingerprint.of(BEFORE | more))
    now = BEFORE | R1 | {"column users.email": "text"} | more
    found = find_additions(
        Found(
            PLAN,
            evidence,
            Diagnosis(found=Progress.UNKNOWN, words="", commit_point=3),
            Fingerprint.of(BEFORE | more),
            now,
            (("r1",),),
        )
    )
    assert reason in found.why_not
    assert bool(found.why_not) == bool(reason)


def test_there_must_be_a_state_to_go_back_to() -> None:
    assert "half done" in look(rehearsed(ADD_COLUMN), BEFORE | R1, None, head="elsewhere").why_not

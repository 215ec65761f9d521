"""How many rows come and go is approved, within a tolerance that the request states."""

from datetime import UTC, datetime

import pytest
from alembic_project import AlembicProject
from msgspec.structs import replace
from signing_support import Approver

from ci_migrate.approval.payload import (
    OTHER_TABLES,
    ROWS_LISTED,
    ApprovalPayload,
    Facts,
    count_changes,
    decode_payload,
    files_digest,
    list_changes,
    payload_diff,
    rows_diff,
)
from ci_migrate.model import Identity, Purpose, TableContent, TableEvidence

MOMENT = datetime(2026, 11, 29, 12, tzinfo=UTC)
PAYLOAD = ApprovalPayload(
    target="", target_uuid="u", identity=Identity(dialect="sqlite", place="x", facts={}), plan_digest="", direction=Purpose.UPGRADE,
    from_heads=(), destination="", files_digest="", stages=("migrate",), requester="ana", reason="why", issued=MOMENT,
    not_before=MOMENT, expires=MOMENT, nonce="0" * 32, tool_version="0.1.0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("approved", "now"),
    [
        ({}, {}),
        ({"orders": -1000}, {"orders": -1000}),
        ({"orders": -1000}, {"orders": -1100}),  # a tenth
        ({"orders": -3}, {"orders": -13}),  # ten rows
        ({"orders": 5}, {}),
        ({"a": 100, OTHER_TABLES: 40}, {"a": 105, "b": 20, "c": 24}),
    ],
)
def test_within_the_tolerance(approved: dict[str, int], now: dict[str, int]) -> None:
    assert rows_diff(approved, now) == []


@pytest.mark.parametrize(
    ("approved", "now", "words"),
    [
        ({"orders": -1000}, {"orders": -1101}, "rows of orders: approved was a change by -1,000, here it is -1,101"),
        ({"orders": -3}, {"orders": -14}, "rows of orders: approved was a change by -3, here it is -14"),
        ({"orders": -1000}, {"orders": 0}, "rows of orders: approved was a change by -1,000, here it is +0"),
        ({}, {"orders": -1}, "rows of orders: approved was a change by +0, here it is -1"),
        ({"a": 1}, {"a": 1, "b": 5, "c": -5}, "rows of b: approved was a change by +0, here it is +5"),
        ({"a": 100, OTHER_TABLES: 40}, {"a": 100}, "rows of other tables: approved was a change by +40, here it is +0"),
    ],
)  # fmt: skip
def test_beyond_it(approved: dict[str, int], now: dict[str, int], words: str) -> None:
    assert rows_diff(approved, now)[0] == words


def test_very_many_tables_are_added_up_and_the_largest_named() -> None:
    found = list_changes({f"t{n:03}": n - 50 for n in range(100)})
    assert len(found) == ROWS_LISTED + 1
    assert found["t000"] == -50
    assert "t050" not in found, "it did not change"
    assert found[OTHER_TABLES] == sum(n - 50 for n in range(100)) - sum(
        count for name, count in found.items() if name != OTHER_TABLES
    )


def measured(changes: dict[str, int]) -> dict[str, int]:
    none = TableContent(rows=0)
    tables = {n: TableEvidence(before=none, after=TableContent(rows=count)) for n, count in changes.items()}
    return count_changes(tables)


def test_which_tables_change_most_may_differ_where_very_many_do() -> None:
    approved = list_changes(measured({f"t{n:02}": 100 + n for n in range(60)}))
    now = measured({f"t{n:02}": 100 + n + (-1 if n % 2 else 9) for n in range(60)})
    assert list_changes(now).keys() != approved.keys()
    assert rows_diff(approved, now) == []


def test_a_loss_does_not_hide_behind_a_gain_among_the_tables_that_are_not_named() -> None:
    before = {f"t{n:02}": 100 + n for n in range(60)}
    found = rows_diff(
        list_changes(before), {**before, "t00": before["t00"] - 5000, "t01": before["t01"] + 5000}
    )
    assert found == [
        "rows of t00: approved was a change by +0, here it is -4,900",
        "rows of t01: approved was a change by +0, here it is +5,101",
    ]


def test_a_signed_run_that_would_lose_more_rows_than_was_shown_stops(alembic_project, tmp_path) -> None:
    project: AlembicProject = alembic_project
    ana = Approver("ana", tmp_path)
    project.settings('[targets.live]\nurl = "sqlite:///app.db"\n')
    assert project.run("run").code == 0
    project.sql("insert into users (id) select value from (with recursive n(value) as "
                "(select 1 union all select value + 1 from n where value < 30) select value from n)")  # fmt: skip
    done = project.run("protect", "--approver", ana.line)
    assert done.code == 0, done.text
    project.revision(
        "r3", "r2", 'op.execute("INSERT INTO users (id) SELECT id + 100 FROM users WHERE id > 20")'
    )
    stopped = project.run("run")
    assert stopped.code == 4, stopped.text
    request = project.reports / "approval-request.json"
    assert "may differ by a tenth" in request.read_text()
    asked = ("approve", str(request), "--key", str(ana.file), "--reason", "ticket 1")
    token = project.call(*asked)
    assert token.code == 0, token.text
    assert "users: 30 -> 40" in token.text
    project.sql("insert into users (id) select id + 1000 from users")  # more than somebody was shown
    refused = project.run("run", env={"CI_MIGRATE_TOKEN": token.out.strip().splitlines()[-1]})
    assert refused.code == 4, refused.text
    assert "rows of users: approved was a change by +10, here it is +40" in " ".join(refused.text.split())
    project.sql("delete from users where id > 1002")
    again = project.run("run", env={"CI_MIGRATE_TOKEN": token.out.strip().splitlines()[-1]})
    assert again.code == 0, again.text


def test_a_payload_without_rows_fits_no_run_whose_dry_run_changed_some(alembic_project) -> None:
    plan = alembic_project.gate("plan").plan
    assert plan is not None
    payload = replace(PAYLOAD, target=plan.target, identity=plan.identity, plan_digest=plan.digest,
                      files_digest=files_digest(plan), destination=plan.destination)  # fmt: skip
    facts = Facts(plan=plan, target_uuid="u", rows={"users": -3})
    assert b'"rows"' not in payload.encode(), "as an earlier version wrote it"
    assert decode_payload(payload.encode()) == payload
    assert payload_diff(payload, facts) == ["rows of users: approved was a change by +0, here it is -3"]
    assert payload_diff(replace(payload, rows={"users": -3}), facts) == []
    assert payload_diff(payload, replace(facts, rows=None)) == []

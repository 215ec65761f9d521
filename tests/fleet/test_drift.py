"""A database that is not like the others stays so: through `retry`, `resume`, and the next run."""

import pytest
from alembic_project import ended
from fleet_support import by_name, new_fleet, sql


@pytest.fixture
def fleet(tmp_path):
    return new_fleet(tmp_path / "project", 3)


def test_retry_and_the_next_run_leave_out_what_the_first_run_left_out(fleet):
    """Also where it is the only one that is left at its revision, so that no other is there to compare it with."""
    sql(fleet.file("t00002"), "create index by_name on users (name)")
    ended(fleet.project.run("fleet", "run"), 1, "2 migrated, 1 left out")
    again = "2 nothing to do, 1 left out"
    for command, counts in (("retry", "2 migrated, 1 left out"), ("run", again), ("retry", again)):
        ended(fleet.project.run("fleet", command), 1, counts)
        row = by_name(fleet)["t00002"]
        assert row["message"] == "drifted: its schema differs from that of the others at r1", command
    ended(fleet.project.call("fleet", "status"), 1, "drifted 1")
    assert fleet.at("t00002") == ["r1"]
    # it is what the others were: nothing stands in its way any more
    sql(fleet.file("t00002"), "drop index by_name")
    ended(fleet.project.run("fleet", "run"), 0, "1 migrated, 2 nothing to do")


def test_what_came_to_another_schema_than_its_canary_is_so_after_a_retry_too(fleet):
    fleet.set('fleet-dry-run = "canary"\n')
    fleet.project.revision(
        "r2",
        "r1",
        'op.add_column("users", sa.Column("email", sa.Text))\n'
        'if "t00001" in str(op.get_bind().engine.url):\n'
        '    op.create_index("by_name", "users", ["name"])',
    )
    ended(fleet.project.run("fleet", "run"), 7, "2 migrated, 1 failed")
    first = by_name(fleet)["t00001"]
    assert (first["status"], first["exitCode"]) == ("failed", 7)
    assert "is now another one than that of the canary t00000" in first["message"]
    ended(fleet.project.run("fleet", "retry"), 7, "2 migrated, 1 failed")
    assert by_name(fleet)["t00001"] == first
    # changed, and still not what the canary came to
    sql(fleet.file("t00001"), "create index by_email on users (email)")
    ended(fleet.project.run("fleet", "retry"), 7, "2 migrated, 1 failed")
    sql(fleet.file("t00001"), "drop index by_name; drop index by_email")
    ended(fleet.project.run("fleet", "retry"), 0, "2 migrated, 1 nothing to do")

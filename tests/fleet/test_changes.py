"""What changed between a fleet run and what goes on with it: scripts, settings, the list, a database."""

import html
import json
import os

import pytest
from alembic_project import ended
from fleet_support import by_name, damage, new_fleet, report_of, sql, statuses

UP, DOWN = 'op.add_column("users", sa.Column("{}", sa.Text))', 'op.drop_column("users", "{}")'
TWINS = "insert into users (name) values ('Ada')"


@pytest.fixture
def fleet(tmp_path):
    """Of three, the second can't be migrated: its names are not unique."""
    fleet = new_fleet(tmp_path / "project", 3)
    unique(fleet)
    sql(fleet.file("t00001"), TWINS)
    return fleet


def unique(fleet, more="pass"):
    fleet.project.revision(
        "r2",
        "r1",
        f'{UP.format("email")}\nop.execute("create unique index u on users (name)")\n{more}',
        f'op.execute("drop index u")\n{DOWN.format("email")}',
    )


def sound(fleet):
    sql(fleet.file("t00001"), "delete from users where id > 1")


def stopped(fleet):
    """The canary went well, the second failed, and that was enough."""
    fleet.set('fleet-dry-run = "canary"\nfleet-processes = 1\nfleet-max-failures-in-a-row = 1\n')
    assert fleet.project.run("fleet", "run").code == 6
    assert [*statuses(fleet).values()] == ["migrated", "failed", "waiting"]
    sound(fleet)


def test_a_script_that_changed_is_rehearsed_by_a_canary_of_its_own(fleet):
    stopped(fleet)
    unique(fleet, "op.execute(\"update users set name = 'X'\")")
    ended(fleet.project.run("fleet", "retry"), 0)
    rows = by_name(fleet)
    assert [(t["canary"], t["instead"]) for t in rows.values()] == [(True, ""), (True, ""), (False, "t00001")]


def test_without_a_change_the_canary_of_before_will_do(fleet):
    stopped(fleet)
    ended(fleet.project.run("fleet", "retry"), 0)
    assert [t["instead"] for t in by_name(fleet).values()] == ["", "t00000", "t00000"]


def test_what_went_well_by_other_scripts_is_looked_at_again(fleet):
    stopped(fleet)
    fleet.project.revision("r3", "r2", UP.format("phone"), DOWN.format("phone"))
    done = fleet.project.run("fleet", "retry")
    ended(done, 0, "3 of 3 databases at the destination")
    assert [fleet.at(name) for name in fleet.names] == [["r3"]] * 3
    assert {t["rehearsed"] for t in by_name(fleet).values() if not t["instead"]} == {"a copy of its own"}


def test_a_script_that_changes_while_the_canary_is_at_work_stops_the_others(tmp_path):
    fleet = new_fleet(tmp_path / "project", 3)
    fleet.set('fleet-dry-run = "canary"\nfleet-processes = 1\n')
    change = "p = pathlib.Path('migrations/versions/r2.py'); p.write_text(p.read_text() + '# changed')"
    fleet.project.revision(
        "r2",
        "r1",
        f"import os, pathlib\n{UP.format('email')}\nif os.environ['CI_MIGRATE_STAGE'] == 'migrate':\n    {change}",
        DOWN.format("email"),
    )
    done = fleet.project.run("fleet", "run")
    assert done.code != 0
    assert [fleet.at(name) for name in fleet.names[1:]] == [["r1"]] * 2
    assert "migrations/versions/r2.py changed since this fleet run read it" in done.text


def test_a_name_that_stands_for_another_database_now_is_looked_at_again(fleet):
    stopped(fleet)
    for number in (0, 2):
        other = fleet.file(f"other{number}")
        other.write_bytes(fleet.file("t00002").read_bytes())
    names = ["other0", "t00001", "other2"]
    lines = (f"{n} sqlite:///data/{f}.db\n" for n, f in zip(fleet.names, names, strict=True))
    fleet.project.write("tenants.txt", "".join(lines))
    ended(fleet.project.run("fleet", "retry"), 0, "3 of 3")
    assert [fleet.at(name) for name in (*names, "t00000", "t00002")] == [["r2"]] * 4 + [["r1"]]
    assert [t["place"].rpartition("/")[2] for t in by_name(fleet).values()] == [
        f"{name}.db" for name in names
    ]


def test_steps_from_where_each_database_is_are_no_destination(fleet):
    for to in ("+1", "r1+1", "head-1"):
        done = fleet.project.run("fleet", "run", "--to", to)
        ended(done, 2, f"A fleet can't go to {to}")


def test_scripts_that_can_t_be_read_change_nothing_of_the_last_run(fleet):
    stopped(fleet)
    before = json.loads(fleet.project.call("fleet", "status", "--run", "--json").out)
    fleet.project.write("migrations/versions/r2.py", "this is no Python")
    for verb in ("retry", "resume", "run"):
        assert fleet.project.run("fleet", verb).code != 0
    after = fleet.project.call("fleet", "status", "--run", "--json")
    assert (json.loads(after.out), after.code) == (before, 6)


def test_what_waits_has_no_exit_code_of_an_attempt_before(fleet):
    stopped(fleet)
    damage(fleet.file("t00002"))
    good = fleet.file("t00000").read_bytes()
    sql(fleet.file("t00001"), TWINS)
    fleet.project.run("fleet", "retry")
    assert by_name(fleet)["t00002"]["exitCode"] == 8
    fleet.file("t00002").write_bytes(good)
    sql(
        fleet.file("t00002"),
        "drop index u; alter table users drop email; update alembic_version set version_num = 'r1'",
    )
    assert fleet.project.run("fleet", "retry").code == 6
    assert by_name(fleet)["t00002"]["status"] == "waiting"
    assert by_name(fleet)["t00002"]["exitCode"] is None


def test_one_database_of_a_fleet_is_no_fleet(fleet):
    for verb in (
        ("run",),
        ("resume",),
        ("retry",),
        ("status",),
        ("status", "--run"),
        ("matrix", "--shards", "2"),
    ):
        done = fleet.project.call("fleet", *verb, "--target", "tenants/t00001")
        ended(
            done,
            2,
            "Target tenants/t00001 is one database of a fleet",
            "ci-migrate run --target tenants/t00001",
        )
    assert [fleet.at(name) for name in fleet.names] == [["r1"]] * 3


def test_a_file_by_two_names_is_listed_once(tmp_path):
    fleet = new_fleet(tmp_path / "project", 1)
    data = fleet.project.folder / "data"
    (data / "link.db").symlink_to("t00000.db")
    os.link(data / "t00000.db", data / "hard.db")
    for other in ("data/../data/t00000.db", "data/link.db", "data/hard.db"):
        fleet.project.write("tenants.txt", f"a sqlite:///data/t00000.db\nb sqlite:///{other}\n")
        ended(
            fleet.project.call("fleet", "status"), 2, "The fleet lists a and b, which are the same database"
        )


def test_what_to_type_next_names_shard_and_destination(fleet):
    fleet.set("fleet-max-failures-in-a-row = 1\nfleet-processes = 1\n")
    done = fleet.project.run("fleet", "run", "--to", "r2", "--shard", "1/1")
    assert done.code == 1
    sound(fleet)
    for verb, code in (("resume", 1), ("retry", 0)):
        (command,) = report_of(fleet)["next"]
        assert command.split()[2] == verb
        ended(fleet.project.run(*command.partition("#")[0].split()[1:]), code)


def test_a_canary_s_copy_without_rows_is_no_copy_of_a_canary(tmp_path):
    fleet = new_fleet(tmp_path / "project", 2)
    fleet.set('fleet-dry-run = "canary"\ndry-run = "schema"\n')
    done = fleet.project.run("fleet", "run", "--allow", "CM606=a test")
    ended(done, 0)
    told = html.unescape((fleet.project.reports / "fleet.xml").read_text())
    assert "rehearsed on a copy of t00000's schema, without rows, not of this one" in told

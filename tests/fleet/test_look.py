"""The quick look at a fleet."""

import sqlite3
import time

import pytest
from alembic_project import ended
from fleet_support import damage, new_fleet, sql
from postgresql_support import execute
from sqlalchemy import make_url

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.fleet.look import Place, Scripts, Seen, judge, look_at_all, read_scripts, usual_schemas
from ci_migrate.fleet.members import read_members
from ci_migrate.ledger.fleets import FleetStatus, FleetTarget
from ci_migrate.ledger.glance import find_unfinished
from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.settings.settings import load


@pytest.fixture
def fleet(tmp_path):
    return new_fleet(tmp_path / "project", 7)


def look(fleet):
    settings = load(fleet.project.folder, fleet.project.environment(), {"target": "tenants"})
    found = look_at_all(settings, read_members(settings), read_scripts(settings))
    return {seen.name: seen for seen in found}


def test_each_is_where_it_is(fleet):
    ended(fleet.project.call("run", "--target", "tenants/t00000"), 0)
    sql(fleet.file("t00001"), "update alembic_version set version_num = 'zzz'")
    sql(fleet.file("t00002"), "create index by_name on users (name)")
    damage(fleet.file("t00003"))
    fleet.file("t00004").unlink()
    found = look(fleet)
    assert {name: seen.state for name, seen in found.items()} == {
        "t00000": Place.AT_HEAD,
        "t00001": Place.UNKNOWN,
        "t00002": Place.DRIFTED,
        "t00003": Place.UNREACHABLE,
        "t00004": Place.UNREACHABLE,
        "t00005": Place.BEHIND,
        "t00006": Place.BEHIND,
    }
    assert found["t00001"].words == "the scripts do not have zzz"
    assert found["t00002"].words == "its schema differs from that of the others at r1"
    assert "t00003.db" in found["t00003"].words
    assert found["t00004"].words == "there is no such file, or it is empty"
    assert not fleet.file("t00004").exists(), "a look makes nothing"
    assert not (fleet.file("t00005").with_name("t00005.db.ci-migrate")).exists()


def test_a_file_that_somebody_has_locked_is_unreachable_and_holds_nobody_up_for_long(fleet):
    connection = sqlite3.connect(fleet.file("t00001"), isolation_level=None)
    connection.execute("begin exclusive")
    started = time.monotonic()
    found = look(fleet)
    connection.close()
    assert found["t00001"].state is Place.UNREACHABLE
    assert "locked" in found["t00001"].words
    assert time.monotonic() - started < 10


def test_a_run_that_did_not_end_is_unfinished_or_running(fleet):
    project = fleet.project
    ended(project.call("run", "--target", "tenants/t00000"), 0)
    url = make_url(f"sqlite:///{fleet.file('t00000')}")
    with open_ledger(ledger_url(url, None), create=False) as ledger:
        (record,) = ledger.history(ledger.database_id(None))
        for phase, finished, needs, wanted in (
            ("migrating", None, False, True),
            ("repairing", None, False, True),
            ("finished", record.finished, True, True),
            ("finished", record.finished, False, False),
            ("checking", None, False, False),
        ):
            ledger.update_run(record.run_id, phase=phase, finished=finished, needs_repair=needs)
            unfinished = ledger.unfinished(ledger.database_id(None))
            assert bool(unfinished) == bool(find_unfinished(url, None)) == wanted, phase
        ledger.update_run(record.run_id, phase="migrating", finished=None)
    assert look(fleet)["t00000"].state is Place.UNFINISHED
    assert look(fleet)["t00000"].words == f"run {record.run_id} did not end"
    with SQLite(url).lock("r", 0):
        assert look(fleet)["t00000"].state is Place.RUNNING


def test_drift_is_what_differs_from_most_at_the_same_revision():
    def seen(name, heads, schema):
        return Seen(name=name, place=name, server="", state=Place.BEHIND, heads=heads, schema=schema)

    scripts = Scripts(heads=("r2",), revisions=frozenset({"r1", "r2"}))
    found = [
        seen("a", ("r1",), "x"),
        seen("b", ("r1",), "y"),
        seen("c", ("r1",), "y"),
        seen("d", ("r2",), "z"),
        seen("e", (), "empty"),
    ]
    assert usual_schemas(found) == {("r1",): "y", ("r2",): "z", (): "empty"}
    assert [s.state.value for s in judge(found, scripts)] == [
        "drifted",
        "behind",
        "behind",
        "at head",
        "behind",
    ]


def test_what_a_run_left_in_its_middle_is_no_measure():
    """Where DDL commits by itself, its schema is neither that of its heads nor that of the next ones."""
    scripts = Scripts(heads=("r2",), revisions=frozenset({"r1", "r2"}))
    found = [
        Seen(name="a", place="a", server="", state=Place.UNFINISHED, heads=("r1",), schema="half"),
        Seen(name="b", place="b", server="", state=Place.BEHIND, heads=("r1",), schema="x"),
    ]
    assert [seen.state for seen in judge(found, scripts)] == [Place.UNFINISHED, Place.BEHIND]


def test_what_others_had_before_counts_and_the_named_canary_s_schema_most():
    def row(name, schema, after=""):
        return FleetTarget(
            name=name,
            number=1,
            place=name,
            server="",
            status=FleetStatus.MIGRATED,
            heads=("r1",),
            schema=schema,
            heads_after=("r2",) if after else (),
            schema_after=after,
        )

    def seen(name, schema, heads=("r1",)):
        return Seen(name=name, place=name, server="", state=Place.BEHIND, heads=heads, schema=schema)

    known = [row("a", "x", "z"), row("b", "y"), row("c", "y")]
    # of equally many the first one that was written down, also where only the other one is looked at
    assert usual_schemas([seen("b", "y")], known[:2])[("r1",)] == "x"
    # one that is looked at counts with what it has now
    assert usual_schemas([seen("a", "y")], known[:2])[("r1",)] == "y"
    assert usual_schemas([seen("d", "new")], known)[("r1",)] == "y"
    assert usual_schemas([seen("d", "new", ("r2",))], known)[("r2",)] == "z"
    # the others differ from the canary that was named, and it was migrated
    assert usual_schemas([seen("b", "y"), seen("c", "y")], known, "a")[("r1",)] == "x"
    scripts = Scripts(heads=("r2",), revisions=frozenset({"r1", "r2"}))
    judged = judge([seen("b", "y"), seen("c", "y")], scripts, "a", known)
    assert {one.state for one in judged} == {Place.DRIFTED}
    assert judge([seen("b", "")], scripts)[0].state is Place.DRIFTED, "a schema that nobody knows equals none"


def test_on_a_server(postgresql_url, tmp_path):
    """A database with its version table in a schema, beside one that is not there; its password is not told."""
    fleet = new_fleet(tmp_path / "project", 0)
    execute(
        postgresql_url,
        "create schema app",
        "create table app.alembic_version (version_num varchar(32) primary key)",
        "insert into app.alembic_version values ('r2')",
    )
    there = postgresql_url.render_as_string(hide_password=False)
    gone = postgresql_url.set(password="kX7-horse-battery", database="nowhere").render_as_string(
        hide_password=False
    )
    fleet.project.write("tenants.txt", f"a {there}\nb {gone}\n")
    fleet.set('fleet-version-table = "app.alembic_version"\n')
    found = look(fleet)
    assert (found["a"].state, found["a"].heads) == (Place.AT_HEAD, ("r2",))
    assert found["b"].state is Place.UNREACHABLE
    assert "127.0.0.1" in found["b"].words
    assert "kX7-horse-battery" not in str(found)


def test_the_command_groups_them_and_ends_with_the_worst(fleet):
    done = fleet.project.call("fleet", "status")
    out = ended(done, 0, "tenants 7 databases", "behind 7 (7 at r1)", "ci-migrate fleet run --target tenants")
    assert "unreachable" not in out
    sql(fleet.file("t00001"), "update alembic_version set version_num = 'zzz'")
    words = (
        "tenants/t00001: the scripts do not have zzz",
        "behind 6",
        "ci-migrate status --target tenants/t00001",
    )
    ended(fleet.project.call("fleet", "status"), 1, *words)
    damage(fleet.file("t00003"))
    words = ("unreachable 1", "next ci-migrate status --target tenants/t00003")
    ended(fleet.project.call("fleet", "status"), 8, *words)


def test_there_is_nothing_to_do_only_where_it_ends_with_zero(fleet):
    fleet.project.write("tenants.txt", "a sqlite:///data/t00000.db\nb sqlite:///data/t00001.db\n")
    for name in fleet.names:
        sql(
            fleet.file(name),
            "alter table users add column email text; update alembic_version set version_num = 'r2'",
        )
    ended(fleet.project.call("fleet", "status"), 0, "at head 2", "next nothing to do")
    sql(fleet.file("t00001"), "create index by_name on users (name)")
    done = fleet.project.call("fleet", "status")
    assert "nothing to do" not in ended(done, 1, "drifted 1", "next ci-migrate status --target tenants/b")
    damage(fleet.file("t00001"))
    assert "nothing to do" not in ended(fleet.project.call("fleet", "status"), 8)


def test_a_target_that_is_no_fleet(alembic_project):
    ended(alembic_project.call("fleet", "status"), 2, "Target dev is no fleet", "fleet-file")

"""A database that has lost its history, or its rows as well, is refused in words; a backup of it is the way back."""

import json
import re
import shlex

import pytest
from env_zoo import PLAIN, SYNC, new_zoo, url

__all__ = ["url"]

BEGINS_ANEW = ("--allow", "CM501=it begins anew")


@pytest.fixture
def zoo(url, tmp_path):
    """At r2, with a row; a backup holds it."""
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.gate("run", "--to", "r1")
    zoo.prepare("insert into users (id, name) values (1, 'a')")
    zoo.gate("run", "--to", "r2")
    return zoo


def restored(zoo, done):
    """The command that is named is the one that helps."""
    backup = re.search(
        r"ci-migrate backup restore (backup_\w+) --target default", " ".join(done.text.split())
    )
    assert backup, done.text
    zoo.gate("backup", "restore", backup[1], "--yes")
    assert [row[1] for row in zoo.rows("users")] == ["a"]
    assert zoo.versions() == ["r1"]
    zoo.gate("run")


def test_F108_an_emptied_database_is_refused(zoo):
    if zoo.dialect == "sqlite":
        zoo.database.write_bytes(b"")
    else:
        zoo.prepare("drop table users", "drop table alembic_version")
    for command in ("status", "check", "run"):
        done = zoo.gate(command, code=1)
        assert "is empty" in " ".join(done.text.split())
        assert "left it at r2" in " ".join(done.text.split())
    assert zoo.tables <= set()
    found = json.loads(zoo.gate("status", "--json", code=1).out)["commands"]
    assert [shlex.split(c["command"])[:2] for c in found] == [["ci-migrate", "backup"], ["ci-migrate", "run"]]
    assert [c["why"] for c in found] == ["", "where it is meant to begin anew"]
    restored(zoo, done)


def test_F108_rows_and_version_rows_are_gone(zoo):
    zoo.prepare("delete from users", "delete from alembic_version")
    restored(zoo, zoo.gate("run", code=1))


def test_F108_other_tables_without_version_rows(zoo):
    zoo.prepare("drop table users", "delete from alembic_version", "create table other (id integer)")
    done = zoo.gate("run", code=1)
    assert "1 table and no version row" in " ".join(done.text.split())
    restored(zoo, done)


def test_F108_what_is_meant_to_begin_anew_does(zoo):
    zoo.prepare("drop table users", "drop table alembic_version")
    done = zoo.gate("run", *BEGINS_ANEW)
    assert zoo.versions() == ["r2"]
    assert "CM501" in done.codes()
    zoo.gate("check")


@pytest.mark.parametrize("how", [("--yes",), ("--yes", "--by", "restore")], ids=["downgrade", "restore"])
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_what_went_back_to_base_is_not_lost(zoo, how):
    zoo.gate("rollback", "--to", "base", *how)
    zoo.gate("run")
    assert zoo.versions() == ["r2"]

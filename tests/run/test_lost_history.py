"""A database that has lost its history, or its rows as well, is refused in words; a backup of it is the way back."""

import json
import re
import shlex

import pytest
from env_zoo import PLAIN, SYNC, new_zoo, url

__all__ = ["url"]

BEGINS_ANEW = ("--allow", "CM503=it begins anew")


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
    # that somebody changed the schema by hand is something else, also where the settings say so for good
    refused = zoo.gate("run", "--allow", "CM501=hotfixes at night", code=1)
    assert "left it at r2" in " ".join(refused.text.split())
    assert "users" not in zoo.tables
    done = zoo.gate("run", *BEGINS_ANEW)
    assert zoo.versions() == ["r2"]
    assert "CM503" in done.codes()
    zoo.gate("check")


@pytest.mark.parametrize("how", [("--yes",), ("--yes", "--by", "restore")], ids=["downgrade", "restore"])
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_what_went_back_to_base_is_not_lost(zoo, how):
    zoo.gate("rollback", "--to", "base", *how)
    zoo.gate("run")
    assert zoo.versions() == ["r2"]


ROWS = "insert into users (id, name) values " + ", ".join(f"({n}, 'a')" for n in range(2, 200))


@pytest.fixture
def full(url, tmp_path):
    """At r1 with 199 rows, which a backup holds, and r2 pending."""
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.gate("run", "--to", "r1")
    zoo.prepare("insert into users (id, name) values (1, 'a')", ROWS)
    zoo.gate("backup", "create")
    return zoo


def test_F108_rows_that_are_gone_while_the_version_rows_stay(full):
    full.prepare("delete from users where id > 1")
    for command in ("status", "check", "run"):
        done = full.gate(command, code=1)
        assert "has lost its rows" in " ".join(done.text.split())
    assert full.versions() == ["r1"]
    backup = re.search(
        r"ci-migrate backup restore (backup_\w+) --target default", " ".join(done.text.split())
    )
    assert backup, done.text
    full.gate("backup", "restore", backup[1], "--yes")
    assert len(full.rows("users")) == 199
    full.gate("run")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_what_was_emptied_on_purpose_is_not_asked_twice(full):
    full.prepare("delete from users")
    full.gate("run", "--allow", "CM503=it was emptied on purpose")
    assert full.versions() == ["r2"]
    full.gate("check")  # the newest backup has no rows either


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_what_is_no_loss_of_rows(full):
    full.prepare("delete from users where id > 5")  # some are left
    full.gate("check")
    full.prepare(ROWS.replace("'a'", "'b'").replace("insert into", "insert or ignore into"))
    full.gate("run")
    full.prepare("create table people as select * from users", "delete from users")  # they went elsewhere
    full.gate("check")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_a_migration_that_deletes_rows_is_their_reason(full):
    full.revision("r3", "r2", 'op.execute("DELETE FROM users")', "pass")
    full.gate("run", "--allow", "CM601=they are not needed")
    full.gate("check")


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_F108_an_older_backup_was_restored_on_purpose(url, tmp_path):
    zoo = new_zoo(tmp_path, url, SYNC + PLAIN)
    zoo.gate("run", "--to", "r1")
    older = re.search(r"backup_r1_\w+", zoo.gate("backup", "create").text)
    zoo.prepare("insert into users (id, name) values (1, 'a')", ROWS)
    zoo.gate("backup", "create")
    zoo.gate("backup", "restore", older[0], "--yes")
    zoo.gate("check")


def test_F108_a_few_rows_are_nobodys_loss(zoo):
    zoo.prepare("delete from users")
    zoo.gate("check")

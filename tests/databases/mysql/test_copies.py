"""Copies on MariaDB for real: what goes into a dump, comes out of it, and what happens when that is disturbed."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from mysql_support import another_process, contents, counts, databases, execute, schema

from ci_migrate.databases.compression import chunks
from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import VersionTable, schema_changes


def test_V13_everything_comes_back(rich, fresh, payload):
    execute(
        rich,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('abc')",
    )
    dumped = copies.dump(rich, payload, [VersionTable()])
    assert dumped.heads == (("abc",),)
    assert dumped.row_counts == counts(rich)
    assert dumped.schema == schema(rich)
    copies.load(fresh, payload)
    assert schema_changes(dumped.schema, schema(fresh)) == ()
    assert contents(fresh) == contents(rich)
    assert execute(fresh, "SELECT NEXTVAL(numbers)")[0][0] >= execute(rich, "SELECT NEXTVAL(numbers)")[0][0]
    assert execute(fresh, "SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_NAME = 'books'"
                   " AND TABLE_SCHEMA = DATABASE()") == ((72,),)  # fmt: skip
    body = execute(fresh, "SHOW CREATE PROCEDURE clean")[0][2]
    assert f"FROM `{fresh.database}`.log" in body
    assert f"what = '{rich.database}.log'" in body


def test_V13_the_history_of_versioned_tables_comes_back(access, fresh, payload):
    execute(
        access,
        "CREATE TABLE plain (x INT)",
        "CREATE TABLE versioned (x INT) WITH SYSTEM VERSIONING",
        "INSERT INTO versioned VALUES (1), (2)",
        "UPDATE versioned SET x = 3 WHERE x = 1",
        "INSERT INTO plain VALUES (1)",
    )
    dumped = copies.dump(access, payload, [])
    assert dumped.row_counts == counts(access)
    copies.load(fresh, payload)
    everything = "SELECT x, row_start, row_end FROM versioned FOR SYSTEM_TIME ALL ORDER BY 1"
    assert execute(fresh, everything) == execute(access, everything)
    assert counts(fresh) == dumped.row_counts


# --------------------------------------------------------------------------- scratch copies


def test_a_scratch_copy_can_reach_nothing_else(rich, payload):
    copies.dump(rich, payload, [])
    with copies.scratch(rich, "run1") as child:
        assert child.database == "ci_migrate_scratch_run1"
        assert child.user != rich.user
        copies.load(child, payload)
        assert schema_changes(schema(rich), schema(child)) == ()
        assert contents(child) == contents(rich)
        with pytest.raises(DatabaseError, match="denied"):
            execute(child, f"DELETE FROM {rich.database}.authors")
        definers = execute(child, "SELECT DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()"
                           " UNION SELECT DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()")  # fmt: skip
        assert [definer.split("@")[0] for (definer,) in definers] == [child.user]
        status = execute(
            child, "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"
        )
        assert status == (("DISABLED",),)
    assert "ci_migrate_scratch_run1" not in databases(rich)
    assert execute(rich, "SELECT User FROM mysql.user WHERE User LIKE 'ci_migrate_%'") == ()


def test_without_the_right_to_make_accounts_a_scratch_copy_uses_our_own(rich, lesser):
    with copies.scratch(lesser("ALL"), "run2") as child:
        assert child.user != rich.user
        assert child.user == lesser("ALL").user
        execute(child, "CREATE TABLE t (id INT)")


def test_the_right_to_make_a_scratch_copy_is_named(lesser):
    with (
        pytest.raises(DatabaseError, match="may not make the database") as caught,
        copies.scratch(lesser("SELECT", everywhere=False), "run3"),
    ):
        pass
    assert caught.value.hint.startswith(r"GRANT ALL ON `ci\_migrate\_scratch%`.* TO 'less")


def test_a_sweep_drops_what_nobody_uses(rich):
    with copies.scratch(rich, "used"):
        with rich.elsewhere("").session() as cursor:
            cursor.execute("CREATE DATABASE ci_migrate_scratch_left")
            cursor.execute("CREATE DATABASE ci_migrate_scratch_kept")
            cursor.execute(f"CREATE DATABASE {rich.database}_ci_migrate_new_x")
            cursor.execute("CREATE USER %s@'127.0.0.1'", [copies.account_of("ci_migrate_scratch_left")])
        try:
            swept = copies.sweep(rich, ["kept"])
            # other tests of this server may have left theirs
            assert {"ci_migrate_scratch_left", f"{rich.database}_ci_migrate_new_x"} <= set(swept)
            assert {"ci_migrate_scratch_kept", "ci_migrate_scratch_used"} <= databases(rich)
            assert not set(swept) & databases(rich)
            assert (
                execute(
                    rich,
                    f"SELECT * FROM mysql.user WHERE User = '{copies.account_of('ci_migrate_scratch_left')}'",
                )
                == ()
            )
        finally:
            execute(rich, "DROP DATABASE ci_migrate_scratch_kept")


# --------------------------------------------------------------------------- dumps that are disturbed


@pytest.fixture
def big(access):
    """A database whose dump does not fit into pipes: it is under way while `progress` is called first."""
    execute(
        access,
        "CREATE TABLE big (id INT PRIMARY KEY, text VARCHAR(300))",
        "INSERT INTO big SELECT seq, REPEAT(MD5(seq), 9) FROM seq_1_to_60000",
        "CREATE TABLE later (id INT)",
        "INSERT INTO later VALUES (1)",
    )
    return access


@pytest.fixture
def lesser(access):
    """Makes an account with fewer rights: `lesser("SELECT")` may that in the test's database (and in scratch copies)."""
    name, made = f"less_{os.urandom(4).hex()}", []

    def make(rights, *, everywhere=True):
        if not made:
            execute(access, f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'")
            made.append(name)
            execute(access, f"GRANT {rights} ON {access.database}.* TO {name}@'127.0.0.1'")
            if everywhere:
                execute(access, rf"GRANT ALL ON `ci\_migrate\_scratch\_%`.* TO {name}@'127.0.0.1'")
        return access.login(name, "x")

    yield make
    if made:
        execute(access, f"DROP USER {name}@'127.0.0.1'")


def test_a_program_that_may_not_be_read_is_named(rich, payload, lesser):
    execute(rich, "DROP TABLE old_engine")
    with pytest.raises((BackupError, DatabaseError), match="procedure clean") as caught:
        copies.dump(lesser("SELECT, EXECUTE, TRIGGER, EVENT, SHOW VIEW"), payload, [])
    assert "GRANT" in caught.value.hint


# --------------------------------------------------------------------------- restores that are disturbed


def test_people_can_restore_with_the_client_alone(rich, fresh, payload, tmp_path):
    copies.dump(rich, payload, [])
    order = ("tables.sql.zst", "rows-0.sql.zst", "rows-1.sql.zst", "programs.sql.zst")
    script = b"".join(b"".join(chunks(payload / name)) for name in order)
    options = tmp_path / "options"
    password = fresh.parameters["password"].replace("\\", "\\\\")
    options.write_text(f'[client]\nuser={fresh.user}\npassword="{password}"\n')
    subprocess.run(
        ["mariadb", f"--defaults-file={options}", "-h127.0.0.1", f"-P{fresh.parameters['port']}",
         "--default-character-set=utf8mb4", fresh.database],
        input=script.replace(rich.database.encode(), fresh.database.encode()), check=True,
    )  # fmt: skip
    assert contents(fresh) == contents(rich)
    assert schema(fresh).keys() == schema(rich).keys()


def test_V10_a_restore_that_is_killed_leaves_nothing_that_hinders_the_next(big, payload):
    copies.dump(big, payload, [])
    script = f"""
        def die(done, total):
            os.kill(os.getpid(), signal.SIGKILL)
        with copies.scratch(access, "killed") as child:
            copies.load(child, Path({str(payload)!r}), die)
        """
    with another_process(big, script) as child:
        assert child.wait(30) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while "ci_migrate_scratch_killed" in databases(big) and time.monotonic() < deadline:
        copies.sweep(big)
    assert "ci_migrate_scratch_killed" not in databases(big)
    with copies.scratch(big, "killed") as again:
        copies.load(again, payload)
        assert counts(again) == counts(big)


# --------------------------------------------------------------------------- sizes and shapes


def test_room_is_known_of_a_server_on_this_machine(access, monkeypatch):
    place, free = copies.room(access)
    assert Path(place, access.database).is_dir()
    assert 0 < free <= shutil.disk_usage(place).total
    assert copies.room(Access({**access.parameters, "host": "db.example.com"}, "x")) is None
    monkeypatch.setattr(socket, "gethostname", lambda: "another")  # a container, or the far end of a tunnel
    assert copies.room(access) is None

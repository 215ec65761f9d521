"""A dump takes the place of a live database on MariaDB: what moves, what stays, what a kill leaves."""

import signal
import time

import pytest
from mysql_support import another_process, contents, databases, execute, schema

from ci_migrate.databases.mysql import copies
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import schema_changes


@pytest.fixture
def dumped(rich, payload):
    """A dumped database, which changed since; what it was when dumped."""
    copies.dump(rich, payload, [])
    before = schema(rich), contents(rich)
    execute(
        rich,
        "DELETE FROM books",
        "DROP TRIGGER first_one",
        "ALTER TABLE authors ADD COLUMN more INT DEFAULT NEXTVAL(numbers)",
        "CREATE TABLE added (id INT)",
        "CREATE VIEW added_view AS SELECT * FROM added",
        "DROP PROCEDURE clean",
        "CREATE TRIGGER later AFTER DELETE ON log FOR EACH ROW INSERT INTO empty_one VALUES (1)",
    )
    yield before
    for name in databases(rich):
        if name.startswith(rich.database + "_"):
            execute(rich, f"DROP DATABASE `{name}`")


def nothing(_copy):
    pass


def beside(access):
    return {
        name.removeprefix(access.database)
        for name in databases(access)
        if name.startswith(access.database + "_")
    }


def test_a_dump_takes_the_place_of_the_live_database(rich, payload, dumped):
    old = schema(rich), contents(rich)
    seen = []
    words = copies.replace(rich, payload, lambda copy: seen.append((schema(copy), contents(copy))), "r1")
    assert schema_changes(dumped[0], seen[0][0]) == ()
    assert seen[0][1] == dumped[1]
    assert schema_changes(dumped[0], schema(rich)) == ()
    assert contents(rich) == dumped[1]
    assert beside(rich) == {"_before_r1"}
    assert f"`{rich.database}_before_r1`" in words
    kept = rich.elsewhere(rich.database + "_before_r1")
    assert schema_changes(old[0], schema(kept)) == ()
    assert contents(kept) == old[1]
    status = "SELECT STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"
    assert execute(rich, status) == (("ENABLED",),)
    assert execute(kept, status) == (("DISABLED",),)
    execute(rich, "DELETE FROM authors")
    assert execute(rich, "SELECT COUNT(*) FROM books") == ((0,),)  # its foreign key came along
    assert execute(kept, "SELECT COUNT(*) FROM authors") == ((2,),)


def test_a_check_that_raises_leaves_everything_as_it_was(rich, payload, dumped):
    old = schema(rich), contents(rich)

    def no(_copy):
        raise BackupError("not what I want")

    with pytest.raises(BackupError, match="not what I want"):
        copies.replace(rich, payload, no, "r1")
    assert (schema(rich), contents(rich)) == old
    assert beside(rich) == set()


def test_B12_a_locked_table_leaves_everything_as_it_was(rich, payload, dumped):
    old = schema(rich), contents(rich)
    hasty = type(rich)(rich.parameters, "ci-migrate/test", {"lock_wait_timeout": "1"})
    holder = rich.connect()
    try:
        holder.cursor().execute("BEGIN")
        holder.cursor().execute("SELECT * FROM books")
        with pytest.raises(DatabaseError, match="1205"):
            copies.replace(hasty, payload, nothing, "r1")
    finally:
        holder.close()
    assert (schema(rich), contents(rich)) == old
    assert beside(rich) == set()


def test_a_foreign_key_from_elsewhere_is_refused(rich, payload, dumped):
    other = rich.database + "_other"
    execute(rich, f"CREATE DATABASE {other}",
            f"CREATE TABLE {other}.t (a INT, FOREIGN KEY (a) REFERENCES {rich.database}.authors (id))")  # fmt: skip
    with pytest.raises(DatabaseError, match=f"foreign key of {other}.t"):
        copies.replace(rich, payload, nothing, "r1")
    assert beside(rich) == {"_other"}


# what the child is about to send when it is killed, and whether the restore is over then
KILLED_AT = {
    "CREATE TABLE `[^`]+` \\(": False,
    "CREATE TABLE .*ci_migrate_swap": False,
    "INSERT INTO .*ci_migrate_swap": False,
    "CREATE DATABASE IF NOT EXISTS": False,
    "DROP TRIGGER": False,
    "RENAME TABLE": False,
    "DROP VIEW": True,
    "ALTER DATABASE": True,
    "DROP DATABASE": True,
}


QUICK = ("INSERT INTO", "RENAME TABLE", "DROP VIEW")
CASES = [
    pytest.param(at, resume, marks=() if resume == "sweep" and at.startswith(QUICK) else pytest.mark.long)
    for resume in ("sweep", "replace")
    for at in KILLED_AT
]


@pytest.mark.parametrize(("at", "resume"), CASES)
def test_V10_a_swap_that_is_killed_is_taken_back_or_finished(rich, payload, dumped, at, resume):
    old = schema(rich), contents(rich)
    script = f"""
        import re
        execute = pymysql.cursors.Cursor.execute
        seen = []
        def killing(self, query, args=None):
            if re.match({at!r}, query) and (seen.append(1) or len(seen) == 2 or not re.match("DROP (TRIGGER|DATABASE)", query)):
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(self, query, args)
        pymysql.cursors.Cursor.execute = killing
        copies.replace(access, Path({str(payload)!r}), lambda copy: None, "r1")
        """
    with another_process(rich, script) as child:
        assert child.wait(60) == -signal.SIGKILL, child.stderr.read().decode()
    if not KILLED_AT[at] and "TRIGGER" not in at and "RENAME" not in at:
        assert (schema(rich), contents(rich)) == old  # untouched, whatever comes next
    if resume == "replace":
        copies.replace(rich, payload, nothing, "r1")
        finished = True
    else:
        deadline = time.monotonic() + 10
        while any("_new_" in name for name in beside(rich)) and time.monotonic() < deadline:
            copies.sweep(rich)
        finished = KILLED_AT[at]
    assert beside(rich) == ({"_before_r1"} if finished else set())
    assert schema_changes(dumped[0] if finished else old[0], schema(rich)) == ()
    assert contents(rich) == (dumped[1] if finished else old[1])
    if finished:
        kept = rich.elsewhere(rich.database + "_before_r1")
        assert schema_changes(old[0], schema(kept)) == ()

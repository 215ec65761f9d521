"""A dump takes the place of a live database on MariaDB: what moves, what stays, what a kill leaves."""

import signal
import threading
import time
from contextlib import suppress

import pymysql
import pytest
from mysql_support import another_process, contents, databases, execute, schema

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.sessions import Access, mysql_parameters
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


@pytest.mark.parametrize("engine", ["mysql", "mysql97"])
def test_a_database_whose_name_has_a_percent_sign(request, engine, payload):
    """To the driver it begins a parameter."""
    near = Access(mysql_parameters(request.getfixturevalue(f"{engine}_url")), "ci-migrate/test")
    live = near.elsewhere(f"{near.database}%1's")
    execute(near, f"CREATE DATABASE `{live.database}`")
    try:
        execute(live, "CREATE TABLE t (a INT PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        copies.dump(live, payload, [])
        execute(live, "DELETE FROM t")
        copies.replace(live, payload, nothing, "r1")
        assert execute(live, "SELECT a FROM t") == ((1,),)
        assert beside(live) == {"_before_r1"}
    finally:
        for name in databases(near):
            if name.startswith(live.database):
                execute(near, f"DROP DATABASE `{name}`")


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
    "DROP TRIGGER IF EXISTS `[^`]+`.`[^`]+`$": False,
    "LOCK TABLES": False,
    "DROP TRIGGER .*\n;": False,
    "CREATE TABLE .*\uffdcci_migrate_1": True,
    "RENAME TABLE": True,
    "CREATE TABLE .*\uffdcci_migrate_2": True,
    "UNLOCK TABLES": True,
    "DROP VIEW": True,
    "ALTER DATABASE": True,
    "DROP DATABASE": True,
}
"""The statement before which it is killed, and whether it is finished afterwards or taken back."""

QUICK = ("INSERT INTO", "DROP TRIGGER .", "UNLOCK")
CASES = [
    pytest.param(at, resume, marks=() if resume == "sweep" and at.startswith(QUICK) else pytest.mark.long)
    for resume in ("sweep", "replace")
    for at in KILLED_AT
]


def triggers(access):
    return execute(
        access,
        "SELECT EVENT_OBJECT_TABLE, TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()",
    )


@pytest.mark.parametrize(("at", "resume"), CASES)
def test_V10_a_swap_that_is_killed_is_taken_back_or_finished(rich, payload, dumped, at, resume):
    old = schema(rich), contents(rich)
    script = f"""
        import re
        execute = pymysql.cursors.Cursor.execute
        seen = []
        def killing(self, query, args=None):
            text = query.decode(errors="replace") if isinstance(query, bytes) else query
            if re.match({at!r}, text) and (seen.append(1) or len(seen) == 2 or ";" in text or not re.match("DROP (TRIGGER|DATABASE)", text)):
                os.kill(os.getpid(), signal.SIGKILL)
            return execute(self, query, args)
        pymysql.cursors.Cursor.execute = killing
        copies.replace(access, Path({str(payload)!r}), lambda copy: None, "r1")
        """
    with another_process(rich, script) as child:
        assert child.wait(60) == -signal.SIGKILL, child.stderr.read().decode()
    if not KILLED_AT[at]:
        assert (schema(rich), contents(rich)) == old  # untouched, whatever comes next
    if at in ("UNLOCK TABLES", "DROP VIEW"):  # the server has done what was sent to it
        deadline = time.monotonic() + 10
        while (
            set(triggers(rich)) != {("books", "first_one"), ("books", "second_one")}
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert set(triggers(rich)) == {("books", "first_one"), ("books", "second_one")}
        assert contents(rich) == dumped[1]
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


SEEN = (
    "CREATE TABLE notes (id INT AUTO_INCREMENT PRIMARY KEY)",
    "CREATE TABLE tags (id INT AUTO_INCREMENT PRIMARY KEY)",
    "CREATE TABLE seen (name VARCHAR(9), id INT)",
    "CREATE TRIGGER of_notes AFTER INSERT ON notes FOR EACH ROW INSERT INTO seen VALUES ('notes', NEW.id) -- said",
    "CREATE TRIGGER of_tags AFTER INSERT ON tags FOR EACH ROW INSERT INTO seen VALUES ('tags', NEW.id)",
)


@pytest.mark.parametrize("server", ["mariadb_server", "mysql_server"])
def test_F105_nobody_writes_before_the_triggers_stand(server, payload, request):
    url = request.getfixturevalue(server).url("mysql")
    access = Access(
        {**mysql_parameters(url), "database": "swapped"}, "ci-migrate/test", {"lock_wait_timeout": "5"}
    )
    execute(access.elsewhere(""), "CREATE DATABASE swapped CHARACTER SET utf8mb4")
    kept = access.elsewhere("swapped_before_r1")
    over = threading.Event()

    def write(table):
        with access.session() as cursor:
            while not over.is_set():
                with suppress(pymysql.MySQLError):  # for a moment there may be no such table
                    cursor.execute(f"INSERT INTO {table} VALUES ()")

    try:
        execute(access, *SEEN, *["INSERT INTO notes VALUES ()"] * 3)
        copies.dump(access, payload, [])
        writers = [threading.Thread(target=write, args=(table,)) for table in ("notes", "tags") * 2]
        for writer in writers:
            writer.start()
        copies.replace(access, payload, nothing, "r1")
        time.sleep(0.1)
        over.set()
        for writer in writers:
            writer.join()
        for where in (access, kept):
            written = execute(where, "SELECT (SELECT COUNT(*) FROM notes) + (SELECT COUNT(*) FROM tags)")
            assert written == execute(where, "SELECT COUNT(*) FROM seen")
            assert written[0][0] > 3, "somebody wrote there"
        assert beside(access) == {"_before_r1"}
    finally:
        over.set()
        for name in [n for n in databases(access.elsewhere("")) if n.startswith("swapped")]:
            execute(access.elsewhere(""), f"DROP DATABASE `{name}`")

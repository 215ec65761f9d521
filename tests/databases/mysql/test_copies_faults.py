"""Dumps and restores on MariaDB that are disturbed: full disks, kills, locks, cut connections, damage, other DDL."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing, contextmanager

import pytest
from mysql_support import contents, execute
from waiting import until

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.catalog import read_schema
from ci_migrate.databases.mysql.rows import read_counts
from ci_migrate.errors import BackupError

FILL = "INSERT INTO {} SELECT seq, MD5(seq), REPEAT(MD5(seq + 1), 20) FROM seq_1_to_{}"
TABLE = "CREATE TABLE {} (id INT PRIMARY KEY, a VARCHAR(40), b TEXT)"


@pytest.fixture
def limited(access):
    """An account with all rights on this database, and none on the server."""
    name = f"u_{os.urandom(6).hex()}"
    execute(
        access,
        f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'canary-77'",
        f"GRANT ALL ON {access.database}.* TO {name}@'127.0.0.1'",
    )
    yield access.login(name, "canary-77")
    execute(access, f"DROP USER {name}@'127.0.0.1'")


def dumping(access):
    """The server's id of the session in which a dump reads rows; None where there is none."""
    rows = execute(
        access,
        "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT CAST(CONCAT_WS%'"
        f" AND DB = '{access.database}'",
    )
    return rows[0][0] if rows else None


def sessions(access):
    query = f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{access.database}' AND ID <> CONNECTION_ID()"
    return [row[0] for row in execute(access, query)]


@contextmanager
def dump_that_waits(access, payload, as_whom):
    """A dump in a thread that waits for a locked table until the block ends: `as_whom` may not hold off DDL first."""
    execute(access, TABLE.format("t"), FILL.format("t", 1000))
    failures = []

    def dump():
        try:
            copies.dump(as_whom, payload, [], lock_timeout=60)
        except BackupError as error:
            failures.append(error)

    thread = threading.Thread(target=dump)
    with closing(access.connect()) as other:
        other.cursor().execute("LOCK TABLES t WRITE")
        thread.start()
        until(lambda: dumping(access))
        yield failures
    thread.join(30)
    assert not thread.is_alive()


# --------------------------------------------------------------------------- the dump

PROGRAM = """
    import resource, sys
    from pathlib import Path
    from sqlalchemy import make_url
    from ci_migrate.databases.mysql import copies
    from ci_migrate.databases.mysql.sessions import Access, mysql_parameters
    from ci_migrate.errors import BackupError
    access = Access(mysql_parameters(make_url(sys.stdin.readline().strip())), "ci-migrate/test")
"""


def child(url, program, folder):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM) + textwrap.dedent(program), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    process.stdin.write(url.render_as_string(hide_password=False) + "\n")
    process.stdin.flush()
    return process


def test_B1_B3_a_file_that_may_not_grow_fails_the_dump(mysql_url, access, payload):
    execute(access, TABLE.format("t"), FILL.format("t", 20_000))
    program = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            copies.dump(access, Path(sys.argv[1]), [])
        except BackupError as error:
            print(error.what, error.hint)
    """
    out, err = child(mysql_url, program, payload).communicate(timeout=60)
    assert out.startswith("The backup could not be written: File too large."), (out, err)
    assert "bytes are free in" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_B6_B7_a_dump_that_is_ended_leaves_nobody_behind(mysql_url, access, limited, payload, number):
    # a shell that starts tests in the background has them ignore SIGINT
    program = """
        import signal
        signal.signal(signal.SIGINT, signal.default_int_handler)
        copies.dump(access, Path(sys.argv[1]), [], lock_timeout=60)
    """
    execute(access, TABLE.format("t"), TABLE.format("u"), FILL.format("t", 1000), FILL.format("u", 1000))
    with closing(access.connect()) as other:
        other.cursor().execute("LOCK TABLES t WRITE")
        url = mysql_url.set(username=limited.user, password=limited.parameters["password"])
        process = child(url, program, payload)
        until(lambda: dumping(access))
        process.send_signal(number)
        assert process.wait(20) in (-number, 130)
    until(lambda: not sessions(access))
    execute(access, "CREATE TABLE v (id INT)")  # DDL is not held off any more
    process.stdin.close()


def test_B12_a_locked_table_stops_the_dump_in_time_and_is_named(access, payload):
    execute(access, TABLE.format("t"), FILL.format("t", 10))
    with closing(access.connect()) as other:
        other.cursor().execute("LOCK TABLES t WRITE")
        started = time.monotonic()
        with pytest.raises(BackupError, match=r"Table `t` of .* is locked by another session"):
            copies.dump(access, payload, [], lock_timeout=1)
        assert time.monotonic() - started < 8
    until(lambda: not sessions(access))


def test_B18_a_connection_that_is_cut_fails_the_dump(access, limited, payload):
    with dump_that_waits(access, payload, limited) as failures:
        execute(access, f"KILL {dumping(access)}")
        until(lambda: failures)
    assert "The rows of table t" in failures[0].what
    assert "can't be read" in failures[0].what


def test_ddl_waits_for_the_end_of_a_dump(access, payload):
    execute(access, TABLE.format("t"), FILL.format("t", 1000), "CREATE TABLE u (id INT)")
    events = []

    def alter():
        with closing(access.connect()) as connection:
            connection.cursor().execute("SET lock_wait_timeout = 60")
            connection.cursor().execute("ALTER TABLE u ADD COLUMN late INT, ALGORITHM=COPY")
            events.append("ddl")

    thread = threading.Thread(target=alter)

    def progress(_done, _total):
        if not thread.ident:
            thread.start()
            time.sleep(0.5)
            assert events == []

    copies.dump(access, payload, [], progress)
    thread.join(60)
    assert events == ["ddl"]


def test_ddl_that_nobody_could_hold_off_is_noticed(access, limited, payload):
    execute(access, "CREATE TABLE u (id INT)")
    with dump_that_waits(access, payload, limited) as failures:
        execute(access, "ALTER TABLE u ADD COLUMN late INT")
    assert "was changed while it was dumped: column u.late" in failures[0].what
    assert "GRANT RELOAD" in failures[0].hint


def test_rows_and_counts_are_of_one_moment_while_others_write(access, fresh, payload):
    execute(access, TABLE.format("t"), TABLE.format("u"), FILL.format("t", 20_000))
    stop = threading.Event()

    def write():
        with closing(access.connect()) as connection:
            connection.autocommit(False)
            n = 100_000
            while not stop.is_set():  # always both tables in one transaction
                n += 1
                for table in ("t", "u"):
                    connection.cursor().execute(f"INSERT INTO {table} VALUES ({n}, 'x', 'y')")
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: execute(access, "SELECT COUNT(*) FROM u")[0][0] > 20)
        dumped = copies.dump(access, payload, [])
    finally:
        stop.set()
        writer.join()
    counts = {name: count.rows for name, count in dumped.row_counts.items()}
    assert counts["t"] == counts["u"] + 20_000
    copies.load(fresh, payload)
    with fresh.session() as cursor:
        assert read_counts(cursor, fresh.database, None, exact=True) == dumped.row_counts


def test_tables_without_transactions_are_refused_where_writes_can_not_be_held_off(access, payload):
    execute(access, "CREATE TABLE quick (id INT) ENGINE=MEMORY", "CREATE TABLE old (id INT) ENGINE=MyISAM")
    name = f"u_{os.urandom(6).hex()}"
    execute(access, f"CREATE USER {name}@'127.0.0.1' IDENTIFIED BY 'x'")
    try:
        execute(
            access, f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {access.database}.* TO {name}@'127.0.0.1'"
        )
        with pytest.raises(
            BackupError, match=r"no transactions, and writes .*: (old, quick|quick, old)"
        ) as raised:
            copies.dump(access.login(name, "x"), payload, [])
        assert f"GRANT LOCK TABLES ON `{access.database}`.* TO {name};" in raised.value.hint
    finally:
        execute(access, f"DROP USER {name}@'127.0.0.1'")


@pytest.mark.parametrize("whom", ["access", "limited"])
def test_F109_writes_to_tables_without_transactions_wait_for_the_dump(access, payload, fresh, whom, request):
    execute(access, "CREATE TABLE old (id INT, t TEXT) ENGINE=MyISAM")
    execute(access, "INSERT INTO old SELECT seq, 'x' FROM seq_1_to_100")
    events = []

    def write():
        execute(access, "INSERT INTO old VALUES (0, 'late')")
        events.append("written")

    thread = threading.Thread(target=write)

    def progress(_done, _total):
        if not thread.ident:
            thread.start()
            time.sleep(0.3)
            assert events == []

    dumped = copies.dump(request.getfixturevalue(whom), payload, [], progress)
    thread.join(30)
    assert events == ["written"]
    assert dumped.row_counts["old"].rows == 100


# --------------------------------------------------------------------------- what is dumped


def test_B22_an_empty_database_round_trips(access, fresh, payload):
    dumped = copies.dump(access, payload, [])
    assert dumped.row_counts == {}
    copies.load(fresh, payload)
    assert execute(fresh, "SHOW TABLES") == ()


@pytest.mark.parametrize(
    "name", ["a`b", "new\nline", "😀 not in the BMP"[2:], "é" * 64, "-- x", "'q' \"q\"", "a.b", "100%s", "`"]
)
def test_B22_weird_names_round_trip(access, fresh, payload, name):
    quoted = "`" + name.replace("`", "``") + "`"
    column = "`" + name.replace("`", "``")[:20].rstrip("` ") + "c`"
    execute(
        access,
        f"CREATE TABLE {quoted} ({column} INT PRIMARY KEY, x TEXT)",
        f"INSERT INTO {quoted} VALUES (1, 'INSERT INTO `t` VALUES'), (2, '\\n(3,4);\\n'), (3, NULL)",
        f"CREATE TRIGGER {'`tr' + quoted[1:] if len(name) < 60 else 'tr'} BEFORE INSERT ON {quoted}"
        " FOR EACH ROW SET NEW.x = 'made'",
    )
    dumped = copies.dump(access, payload, [])
    assert [count.rows for count in dumped.row_counts.values()] == [3]
    copies.load(fresh, payload)
    assert contents(fresh) == contents(access)
    with fresh.session() as cursor:
        assert read_schema(cursor, fresh.database) == dumped.schema


@pytest.mark.long
def test_B22_ten_thousand_tables(access, fresh, payload):
    with access.session() as cursor:
        for n in range(10_000):
            cursor.execute(f"CREATE TABLE t{n} (id INT PRIMARY KEY)")
            cursor.execute(f"INSERT INTO t{n} VALUES ({n})")
    dumped = copies.dump(access, payload, [])
    assert len(dumped.row_counts) == 10_000
    copies.load(fresh, payload)
    with fresh.session() as cursor:
        assert read_counts(cursor, fresh.database, None, exact=True) == dumped.row_counts


# --------------------------------------------------------------------------- the restore


@pytest.fixture
def dumped(access, payload):
    execute(access, TABLE.format("t"), TABLE.format("u"), FILL.format("t", 5000), FILL.format("u", 5000))
    copies.dump(access, payload, [])
    return payload


@pytest.mark.parametrize("file", ["about.json", "objects.json.zst", "rows-0.sql.zst", "rows-1.sql.zst"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove"])
def test_V1_V2_a_damaged_dump_is_found(fresh, dumped, file, damage):
    path = dumped / file
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if damage == "flip":
        data[middle] ^= 0x80
    path.write_bytes({"flip": data, "truncate": data[:middle], "empty": b""}.get(damage, data))
    if damage == "remove":
        path.unlink()
    with pytest.raises(BackupError, match="missing or damaged"):
        copies.load(fresh, dumped)


def test_V8_a_dump_is_not_restored_over_other_tables(access, dumped):
    before = contents(access)
    with pytest.raises(BackupError, match="is not empty"):
        copies.load(access, dumped)
    assert contents(access) == before


@pytest.mark.parametrize("object_", ["VIEW v AS SELECT 1", "PROCEDURE p() SELECT 1", "SEQUENCE s",
                                     "EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1"])  # fmt: skip
def test_V8_anything_at_all_is_not_empty(fresh, dumped, object_):
    execute(fresh, f"CREATE {object_}")
    with pytest.raises(BackupError, match="is not empty"):
        copies.load(fresh, dumped)


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1])
def test_V10_a_restore_that_is_killed_can_be_run_again(mysql_url, access, fresh, dumped, pause):
    program = "copies.load(access, Path(sys.argv[1]))"
    process = child(mysql_url.set(database=fresh.database), program, dumped)
    until(lambda: execute(fresh, "SHOW TABLES"))
    time.sleep(pause)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    until(lambda: not sessions(fresh))
    execute(access, f"DROP DATABASE {fresh.database}", f"CREATE DATABASE {fresh.database}")
    copies.load(fresh, dumped)
    assert contents(fresh) == contents(access)


def test_V11_a_dump_of_another_server_is_refused(fresh, dumped):
    about = (dumped / "about.json").read_text()
    for changed, words in (
        (about.replace('"MariaDB"', '"MySQL"'), "The backup is of MySQL"),
        (about.replace("[10,", "[99,"), "The backup is of MariaDB 99"),
        (about.replace('"format":2', '"format":1'), "were written by a dump program, as 0.1.0 did"),
    ):
        assert changed != about
        (dumped / "about.json").write_text(changed)
        with pytest.raises(BackupError, match=words):
            copies.load(fresh, dumped)
        assert execute(fresh, "SHOW TABLES") == ()


def test_V11_no_line_of_a_dump_is_of_one_flavour_alone(dumped):
    import backports.zstd as zstd

    for path in dumped.glob("*.sql.zst"):
        assert b"999999" not in zstd.decompress(path.read_bytes())


def test_a_row_that_the_server_refuses_fails_the_restore(access, fresh, dumped):
    import backports.zstd as zstd

    rows = zstd.decompress((dumped / "rows-0.sql.zst").read_bytes())
    (dumped / "rows-0.sql.zst").write_bytes(zstd.compress(rows.replace(b"(1,", b"(2,", 1)))
    with pytest.raises(BackupError, match=r"refused rows of table `t`: Duplicate entry .* \(1062\)"):
        copies.load(fresh, dumped)


def test_F31_rows_that_unpack_to_more_are_refused(fresh, dumped):
    """100 MB of a statement in some kilobytes; it would be held in memory."""
    from ci_migrate.databases.compression import compressing
    from ci_migrate.databases.mysql.inserts import HEAD

    path = dumped / "rows-0.sql.zst"
    path.unlink()
    with compressing(path) as file:
        file.write(HEAD + b"-- 104857600\n")
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(BackupError, match="unpacks to more than 20,000,000 bytes"):
        copies.load(fresh, dumped, most=20_000_000)


def test_F31_a_statement_longer_than_any_server_takes_is_not_read(fresh, dumped):
    from ci_migrate.databases.compression import compressing
    from ci_migrate.databases.mysql.inserts import HEAD

    path = dumped / "rows-0.sql.zst"
    path.unlink()
    with compressing(path) as file:
        file.write(HEAD + b"-- 999999999999\n" + bytes(1 << 20))
    with pytest.raises(BackupError, match="longer than any server takes"):
        copies.load(fresh, dumped)

"""Values and tables of every odd but legal kind come back from a dump as they were, on MariaDB and on MySQL."""

import threading
import time
from contextlib import suppress

import pytest
from mysql_support import contents, execute, is_mariadb, schema

from ci_migrate.databases.mysql import copies
from ci_migrate.databases.mysql.rows import read_counts, read_size
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import schema_changes

LENIENT = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00'"


def fill(access, *sql):
    execute(access, LENIENT, *sql)


def round_trip(access, beside, payload):
    dumped = copies.dump(access, payload, [])
    copies.load(beside, payload)
    left = dict(dumped.exceptions)
    assert [
        change.name for change in schema_changes(schema(access), schema(beside)) if change.name not in left
    ] == []
    with beside.session() as cursor:
        assert read_counts(cursor, beside.database, None, exact=True) == dumped.row_counts
    return dumped


def same(access, beside, query):
    ours, theirs = execute(access, LENIENT, query), execute(beside, LENIENT, query)
    assert ours == theirs
    return ours


VALUES = """CREATE TABLE v (
  id INT PRIMARY KEY, f FLOAT UNIQUE, fd FLOAT(7,2), d DOUBLE, y YEAR, b BIT(64), s SET('a','b','c'' x'), e ENUM('x','','y'),
  dt DATE, t TIME(3), ts TIMESTAMP(6) NULL, sj VARCHAR(20) CHARACTER SET sjis, gk VARCHAR(20) CHARACTER SET gbk,
  u16 VARCHAR(20) CHARACTER SET utf16, l1 VARCHAR(20) CHARACTER SET latin1, u8 TEXT, bl BLOB, g GEOMETRY, j JSON,
  n DECIMAL(65,30), z INT(5) UNSIGNED ZEROFILL, bin BINARY(4), u3 VARCHAR(9) CHARACTER SET utf8mb3)"""

FIRST = (
    r"INSERT INTO v VALUES (1, 123456.79, 12345.67, -0e0, 0, x'ffffffffffffffff', 7, '', '2024-02-31', '-838:59:59',"
    r" '1970-01-01 00:00:01.000001', _sjis x'815c5c41', _gbk x'fe50', 'a☃', _latin1 x'80ff5c27', 'x\n\r\\\'\0☃;',"
    r" x'00ff0a0d5c271a', ST_GeomFromText('POINT(1 2)', 4326), '{\"a\": [1, \"☃\\\\n\"]}',"
    r" 12345678901234567890123456789012345.000000000000000000000000000001, 7, x'01', 'é')"
)
OTHERS = (
    "INSERT INTO v (id, f, d, y, e, dt, ts) VALUES (2, 3.4028235e38, 1.7976931348623157e308, 2155, 2, '0000-00-00', NULL),"
    " (3, 1e-45, 4.9e-324, 1901, 3, '2024-00-10', '0000-00-00'), (0, 123456.78, 0.1, NULL, 0, NULL, NULL)"
)


def test_F41_values_come_back_as_they_were(either, beside, payload):
    fill(either, VALUES, FIRST, OTHERS)
    dumped = round_trip(either, beside, payload)
    assert dumped.contents == contents(either) == contents(beside)
    exact = (
        "SELECT id, f + 0e0, fd + 0e0, d, y, b + 0, s + 0, e + 0, CAST(dt AS CHAR), CAST(t AS CHAR), CAST(ts AS CHAR), HEX(sj),"
        " HEX(gk), HEX(u16), HEX(l1), HEX(u8), HEX(bl), HEX(g), j, n, z, HEX(bin), HEX(u3) FROM v ORDER BY id"
    )
    rows = same(either, beside, exact)
    assert [row[1] for row in rows] == pytest.approx([123456.78, 123456.79, 3.4028235e38, 1e-45], rel=1e-7)
    assert rows[0][1] != rows[1][1]
    assert [row[8] for row in rows] == [None, "2024-02-31", "0000-00-00", "2024-00-10"]
    assert rows[1][11:13] == ("815C5C41", "FE50")


@pytest.mark.parametrize("column", ["f", "gk", "sj", "d"])
def test_F41_a_digest_tells_values_apart_that_look_alike(either, column):
    first, second = {
        "f": ("123456.79", "123457"),
        "d": ("0.1", "0.10000000000000002"),
        "gk": ("_gbk x'fe50'", "_gbk x'fe54'"),
        "sj": ("_sjis x'5c'", "_sjis x'815f'"),
    }[column]
    digests = set()
    for value in (first, second):
        execute(
            either,
            LENIENT,
            "DROP TABLE IF EXISTS v",
            VALUES,
            f"INSERT INTO v (id, {column}) VALUES (1, {value})",
        )
        digests.add(contents(either)["v"].digest)
    assert len(digests) == 2


def test_F54_a_large_value_goes_through_a_small_packet(either, beside, payload):
    packet = execute(either, "SELECT @@max_allowed_packet")[0][0]
    size = packet // 2 + 1_000_000
    execute(either, "CREATE TABLE b (id INT PRIMARY KEY, x LONGBLOB, t LONGTEXT, j JSON)")
    with either.session() as cursor:
        each = [f"REPEAT(x'{byte}', {size // 4})" for byte in ("00", "5c", "27", "ff")]
        cursor.execute(
            f"INSERT INTO b VALUES (1, CONCAT({', '.join(each)}), REPEAT('é', 300000), '{{\"a\": 1}}')"
        )
        cursor.execute("INSERT INTO b VALUES (2, '', NULL, NULL), (3, NULL, 'x', '[]')")
    round_trip(either, beside, payload)
    assert (
        same(either, beside, "SELECT id, SHA2(x, 256), LENGTH(x), SHA2(t, 256), j FROM b ORDER BY id")[0][2]
        == size // 4 * 4
    )


LARGE = "REPEAT(x'00275c0aff', 2000)"
KEYS = {
    "a number": ("id BIGINT UNSIGNED PRIMARY KEY", ["18446744073709551615", "7"]),
    "bytes and a number": ("id VARBINARY(9), y YEAR, PRIMARY KEY (y, id)", ["x'27005c', 2024", "x'27', 0"]),
    "a date": ("id DATE PRIMARY KEY", ["'2024-02-31'", "0"]),
    "an odd name": ("`i'd\\\\` INT NOT NULL UNIQUE", ["1", "2"]),
    "text": ("id CHAR(5) PRIMARY KEY", ["'a''b'", "'c'"]),
    "one that may be NULL": ("id INT UNIQUE", ["NULL", "NULL"]),
    "a prefix": ("id BINARY(8) NOT NULL, UNIQUE (id(2))", ["x'0102'", "x'0202'"]),
    "none": ("id INT", ["1", "1"]),
}


@pytest.mark.parametrize("key", KEYS)
def test_F54_large_values_go_in_pieces(either, beside, payload, monkeypatch, key):
    monkeypatch.setattr("ci_migrate.databases.mysql.rows_dump.LARGE", 5000)
    monkeypatch.setattr("ci_migrate.databases.mysql.inserts.LARGE", 5000)
    monkeypatch.setattr("ci_migrate.databases.mysql.inserts._PIECE", 3000)
    columns, (first, second) = KEYS[key]
    fill(
        either,
        f"CREATE TABLE b ({columns}, x LONGBLOB, t LONGTEXT CHARACTER SET latin1, j JSON, n INT)",
        f"INSERT INTO b VALUES ({first}, {LARGE}, REPEAT(_latin1 x'e95c', 4000), CONCAT('\"', REPEAT('☃', 3000), '\"'), 5)",
        f"INSERT INTO b VALUES ({second}, CONCAT({LARGE}, x'00'), NULL, NULL, NULL)",
        *([] if "'" in first else ["INSERT INTO b SELECT 3, '', 'x', '[]', 0"]),
    )
    dumped = round_trip(either, beside, payload)
    assert dumped.contents == contents(beside)
    columns = "SHA2(x, 256), LENGTH(x), SHA2(t, 256), SHA2(j, 256), n"
    rows = same(either, beside, f"SELECT {columns} FROM b ORDER BY LENGTH(x), 1")
    assert [row[1] for row in rows][-2:] == [10_000, 10_001]


def test_F54_a_database_is_as_large_as_its_files(either, payload):
    execute(
        either,
        "CREATE TABLE b (id INT PRIMARY KEY, x LONGBLOB) STATS_PERSISTENT=1 STATS_AUTO_RECALC=0",
        "INSERT INTO b SELECT 1, REPEAT('x', 5000000)",
    )
    with either.session() as cursor:
        assert read_size(cursor, either.database) > 5_000_000
    assert copies.dump(either, payload, []).unpacked > 5_000_000


def test_F54_invisible_and_generated_columns_come_back(either, beside, payload):
    fill(
        either,
        "CREATE TABLE i (id INT PRIMARY KEY, secret INT INVISIBLE DEFAULT 5, twice INT AS (id * 2) STORED, v INT AS (id) VIRTUAL)",
        "INSERT INTO i (id, secret) VALUES (1, 7), (2, 8)",
        "CREATE TABLE computed (x INT AS (1) STORED)",
        "INSERT INTO computed VALUES (), ()",
    )
    dumped = round_trip(either, beside, payload)
    assert dumped.row_counts["computed"].rows == 2
    assert same(either, beside, "SELECT id, secret, twice, v FROM i ORDER BY id") == (
        (1, 7, 2, 1),
        (2, 8, 4, 2),
    )


def test_F54_rows_that_break_a_check_come_back(either, beside, payload):
    execute(either, "CREATE TABLE c (x INT)", "INSERT INTO c VALUES (-1)")
    if is_mariadb(either):
        execute(
            either, "SET check_constraint_checks = 0", "ALTER TABLE c ADD CONSTRAINT positive CHECK (x > 0)"
        )
    else:
        execute(either, "ALTER TABLE c ADD CONSTRAINT positive CHECK (x > 0) NOT ENFORCED")
    round_trip(either, beside, payload)
    assert same(either, beside, "SELECT x FROM c") == ((-1,),)


def test_F54_definitions_that_strict_modes_refuse_come_back(either, beside, payload):
    wide = ", ".join(f"c{n} CHAR(255) CHARACTER SET latin1" for n in range(40))
    execute(
        either,
        LENIENT + ", innodb_strict_mode = 0",
        "CREATE TABLE d (x DATE DEFAULT '2024-02-31', z DATETIME DEFAULT '0000-00-00 00:00:00')",
        f"CREATE TABLE wide (id INT PRIMARY KEY, {wide}) ROW_FORMAT=COMPACT",
        "INSERT INTO d VALUES ()",
    )
    round_trip(either, beside, payload)
    assert same(either, beside, "SELECT CAST(x AS CHAR) FROM d") == (("2024-02-31",),)


def test_F54_history_that_is_kept_by_transaction_is_left_and_named(access, fresh, payload):
    execute(
        access,
        "CREATE TABLE h (x INT, s BIGINT UNSIGNED GENERATED ALWAYS AS ROW START, e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END,"
        " PERIOD FOR SYSTEM_TIME (s, e)) WITH SYSTEM VERSIONING",
        "INSERT INTO h (x) VALUES (1), (2)",
        "UPDATE h SET x = 3 WHERE x = 1",
    )
    dumped = round_trip(access, fresh, payload)
    assert dumped.not_digested == {
        "older rows of table h": "they are kept by transaction, and MariaDB takes no such rows back"
    }
    assert contents(access) == contents(fresh)


# --------------------------------------------------------------------------- objects that are odd


def test_F50_an_event_whose_time_is_over_comes_back_and_never_runs(either, beside, payload):
    execute(
        either,
        "SET SESSION time_zone = '+05:00'",
        "CREATE EVENT once ON SCHEDULE AT NOW() + INTERVAL 1 SECOND DISABLE DO SELECT 1",
        "CREATE EVENT ends ON SCHEDULE EVERY 1 HOUR ENDS NOW() + INTERVAL 1 SECOND DISABLE DO SELECT 1",
        "CREATE EVENT later ON SCHEDULE AT '2037-01-01 00:00:00' DISABLE DO SELECT 1",
        "CREATE EVENT kept ON SCHEDULE AT NOW() - INTERVAL 1 DAY ON COMPLETION PRESERVE DISABLE DO SELECT 1",
    )
    time.sleep(2)
    round_trip(either, beside, payload)
    status = (
        "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE() ORDER BY 1"
    )
    assert len(same(either, beside, status)) == 4
    with copies.scratch(either, "events") as copy:
        copies.load(copy, payload)
        assert {row[1] for row in execute(copy, status)} == {"DISABLED"}


def test_F50_what_is_broken_already_does_not_hinder(either, beside, payload):
    fill(
        either,
        "CREATE TABLE gone (x INT) ENGINE=MyISAM",
        "CREATE TABLE t1 (x INT) ENGINE=MyISAM",
        "INSERT INTO t1 VALUES (1), (2)",
        "CREATE TABLE m (x INT) ENGINE=MERGE UNION=(t1)",
        "CREATE TABLE broken_m (x INT) ENGINE=MERGE UNION=(t1, gone)",
        "CREATE VIEW broken AS SELECT x FROM gone",
        "CREATE VIEW good AS SELECT x FROM t1",
        "DROP TABLE gone",
    )
    dumped = round_trip(either, beside, payload)
    assert {name for name, _ in dumped.exceptions} == {"view broken", "table broken_m", "column broken_m.x"}
    assert {name: count.rows for name, count in dumped.row_counts.items()} == {"m": 2, "t1": 2}
    assert same(either, beside, "SELECT * FROM m ORDER BY x") == ((1,), (2,))
    execute(beside, "INSERT INTO t1 VALUES (3)")
    assert len(execute(beside, "SELECT * FROM m")) == 3


def test_a_copy_of_a_table_that_leads_elsewhere_is_refused(either, beside, payload):
    execute(beside, "CREATE TABLE theirs (x INT) ENGINE=MyISAM")
    execute(either, f"CREATE TABLE m (x INT) ENGINE=MERGE UNION=({beside.database}.theirs)")
    copies.dump(either, payload, [])
    with (
        copies.scratch(either, "merge") as copy,
        pytest.raises(BackupError, match="Table m holds its rows in another"),
    ):
        copies.load(copy, payload)


# --------------------------------------------------------------------------- a dump is of one moment


def test_F109_rows_and_what_the_server_counts_are_of_one_moment(either, payload):
    execute(either, "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, x TEXT)")
    execute(either, *[f"INSERT INTO t (x) VALUES {', '.join(['(REPEAT(0, 900))'] * 500)}"] * 6)
    stop = threading.Event()

    def write():
        while not stop.is_set():
            execute(either, "INSERT INTO t (x) VALUES ('late')", "DELETE FROM t ORDER BY id LIMIT 1")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        dumped = copies.dump(either, payload, [], lambda _done, _total: time.sleep(0.1))
    finally:
        stop.set()
        thread.join()
    assert dumped.row_counts["t"].rows in (3000, 3001)


def test_F109_a_row_that_gets_lost_on_its_way_fails_the_dump(either, payload, monkeypatch):
    from ci_migrate.databases.mysql import inserts

    execute(either, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1), (2)")
    add = inserts.InsertWriter.add_all
    monkeypatch.setattr(
        inserts.InsertWriter,
        "add_all",
        lambda self, rows, size: add(self, [row for row in rows if row != b"2"], size),
    )
    with pytest.raises(BackupError, match=r"1 rows of table t of .* came, and the server counts 2"):
        copies.dump(either, payload, [])


# --------------------------------------------------------------------------- doctored dumps


@pytest.fixture
def victim(either):
    access = either.elsewhere(either.database + "_victim")
    execute(either, f"CREATE DATABASE {access.database}")
    execute(access, "CREATE TABLE t (id INT)", "INSERT INTO t VALUES (1)")
    return access


def doctor(payload, file, change):
    from backports import zstd

    path = payload / file
    data = zstd.decompress(path.read_bytes())
    changed = change(data)
    assert changed != data
    path.write_bytes(zstd.compress(changed))


def statement(sql):
    return b"-- %d\n%b;\n" % (len(sql), sql)


NO_ROWS = (
    "DROP TABLE {}.t",
    "INSERT INTO {}.`t` (`id`) VALUES (2)",
    "INSERT INTO `t` (`id`) VALUES (2); DROP TABLE {}.t",
    "INSERT INTO `t` (`id`) VALUES ((SELECT MAX(id) FROM {}.t))",
    "INSERT INTO `v` (`id`) VALUES (3)",
)


def test_F110_rows_that_are_none_are_refused(either, beside, victim, payload):
    execute(
        either,
        "CREATE TABLE t (id INT)",
        "INSERT INTO t VALUES (1)",
        f"CREATE VIEW v AS SELECT * FROM {victim.database}.t",
    )
    copies.dump(either, payload, [])
    kept = (payload / "rows-0.sql.zst").read_bytes()
    for number, sql in enumerate(NO_ROWS):
        (payload / "rows-0.sql.zst").write_bytes(kept)
        added = statement(sql.format(victim.database).encode()) + b"-- end\n"
        doctor(payload, "rows-0.sql.zst", lambda data, added=added: data.replace(b"-- end\n", added))
        with (
            copies.scratch(either, "f110") as scratch,
            pytest.raises(BackupError, match=r"something else than rows|no table of"),
        ):
            # our own account may do all of that: there it is the statement that is refused
            copies.load(scratch if number else beside, payload)
    assert contents(victim)["t"].rows == 1


OBJECTS = {
    "table": ("CREATE TABLE `t`", "CREATE TABLE {}.`u`"),
    "another statement": ("CREATE TABLE `t` (", "DROP TABLE {}.t -- ("),
    "select": ("CREATE TABLE `t` (", "CREATE TABLE `t` SELECT * FROM {}.t -- ("),
    "trigger": (" ON {t} FOR", " ON {{}}.t FOR"),
    "view": (" VIEW `v` AS", " VIEW {}.`v` AS"),
    "event": (" ON COMPLETION NOT PRESERVE DISABLE", ""),
    "definer": ("DEFINER=`admin`", "DEFINER  = `root`"),
    "settings": ('"sql_mode":', '"GLOBAL read_only = 1, sql_mode":'),
}


def test_F110_statements_that_are_not_of_a_dump_are_refused_before_any_is_run(either, victim, payload):
    execute(
        either,
        "CREATE TABLE t (id INT)",
        "CREATE VIEW v AS SELECT 1 AS x",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
    )
    copies.dump(either, payload, [])
    kept = (payload / "objects.json.zst").read_bytes()
    with copies.scratch(either, "f110") as copy:
        for old, new in OBJECTS.values():
            put = new.replace("{{}}", "{}").format(victim.database).encode()

            def change(data, old=old, put=put):
                for name in (b"t", b"`t`"):
                    data = data.replace(old.encode().replace(b"{t}", name), put)
                return data

            (payload / "objects.json.zst").write_bytes(kept)
            doctor(payload, "objects.json.zst", change)
            with pytest.raises(BackupError, match="is not one that a dump of ours holds"):
                copies.load(copy, payload)
            assert execute(copy, "SHOW TABLES") == ()
    assert contents(victim)["t"].rows == 1


def test_F110_a_copy_is_loaded_by_an_account_that_may_nothing_elsewhere(either, victim, payload):
    execute(either, "CREATE TABLE t (id INT)", "CREATE PROCEDURE p() SELECT 1")
    copies.dump(either, payload, [])
    doctor(
        payload,
        "objects.json.zst",
        lambda d: d.replace(b"SELECT 1", f"DELETE FROM {victim.database}.t".encode()),
    )
    with copies.scratch(either, "f110") as copy:
        with suppress(BackupError):
            copies.load(copy, payload)
        with pytest.raises(DatabaseError, match="denied"):
            execute(copy, "CALL p()")
    assert contents(victim)["t"].rows == 1

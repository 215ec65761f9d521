"""A restored copy is compared with what the server held, by digests that the server made: on each engine."""

import re
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
import psycopg
import pymysql
import pytest
from msgspec.structs import replace
from mysql_server import MySQLServer
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.comparison import compare_restored, describe_wrong
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.base import Database
from ci_migrate.databases.compression import compress, decompress
from ci_migrate.databases.mysql import rows
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import LockWaitError
from ci_migrate.model import Backup, Comparison, VersionTable

USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20), age INTEGER)",
    "INSERT INTO users VALUES (1, 'ann', 30), (2, 'bob', 40), (3, 'cid', NULL)",
)


class Place:
    """A database, SQL on it, and backups of it; `spoil` is done to what a dump wrote, before its manifest is."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.catalog = Catalog(LocalStorage(folder / "backups"))
        self.folder = folder
        self.spoil: Callable[[Path], None] | None = None
        plain = database.dump

        def dump(into, version_tables, *rest):
            dumped = plain(into, version_tables, *rest)
            if self.spoil is not None:
                self.spoil(into)
            return dumped

        database.dump = dump

    @contextmanager
    def cursor(self) -> Iterator:
        url = self.database.url
        if self.database.dialect == "sqlite":
            connection = sqlite3.connect(url.database)
        elif self.database.dialect == "mysql":
            connection = connect(url)
        else:
            connection = psycopg.connect(
                url.set(drivername="postgresql").render_as_string(hide_password=False)
            )
        with closing(connection):
            yield connection.cursor()
            connection.commit()

    def sql(self, *statements: str) -> None:
        with self.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def backup(self) -> Backup:
        return self.catalog.create(
            self.database, target="dev", version_tables=[VersionTable()], migration_version="x"
        )

    def compare(self, backup: Backup) -> Comparison:
        with (
            self.database.scratch("contents_1", self.folder / "scratch") as copy,
            self.catalog.reading(backup) as payload,
        ):
            copy.load(payload)
            return compare_restored(copy, backup)

    def name(self, table: str) -> str:
        return f"public.{table}" if self.database.dialect == "postgresql" else table


def new_place(engine: str, request, tmp_path: Path, **options) -> Place:
    if engine == "sqlite":
        return Place(SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")), **options), tmp_path)
    if engine == "postgresql":
        return Place(PostgreSQL(request.getfixturevalue("postgresql_url"), **options), tmp_path)
    return Place(MySQL(request.getfixturevalue(f"{engine}_url"), **options), tmp_path)


@pytest.fixture
def mariadb_url(mysql_url: URL) -> URL:
    return mysql_url


@pytest.fixture
def mysql9_url(mysql_server: MySQLServer) -> Iterator[URL]:
    name = f"t_{uuid.uuid4().hex[:12]}"
    admin = mysql_server.admin_url
    with closing(connect(admin)) as connection:
        connection.cursor().execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    yield mysql_server.url(name)
    with closing(connect(admin)) as connection:
        connection.cursor().execute(f"DROP DATABASE {name}")


def connect(url: URL) -> pymysql.Connection:
    return pymysql.connect(
        host=url.host, port=url.port, user=url.username, password=url.password, database=url.database
    )


@pytest.fixture(params=["sqlite", "postgresql", "mariadb", "mysql9"])
def place(request, tmp_path: Path) -> Place:
    found = new_place(request.param, request, tmp_path)
    found.sql(*USERS)
    return found


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a compressed file of a dump."""
    plain = path.with_suffix(".plain")
    decompress(path, plain)
    data = plain.read_bytes()
    plain.write_bytes(change(data))
    path.unlink()
    compress(plain, path)
    plain.unlink()


def without_bob(payload: Path) -> None:
    """The row of one INSERT is missing, and everything else is as if it had never been there."""
    for path in (p for p in payload.rglob("*.zst") if p.is_file()):
        if path.name == "database.sqlite3.zst":
            in_file(path, "DELETE FROM users WHERE id = 2")
        else:
            edit(path, lose_bob)


def lose_bob(data: bytes) -> bytes:
    """Of pg_dump's data file, or of statements that say their length."""
    data = re.sub(rb"(?m)^2\tbob\t40\n|\(2,[^()]*bob[^()]*\),", b"", data)
    return re.sub(rb"-- \d+\n(INSERT INTO `users`.*);\n", lambda m: b"-- %d\n%b;\n" % (len(m[1]), m[1]), data)


def with_other_bob(payload: Path) -> None:
    """One value is another one."""
    for path in (p for p in payload.rglob("*.zst") if p.is_file()):
        if path.name == "database.sqlite3.zst":
            in_file(path, "UPDATE users SET name = 'Bob' WHERE id = 2")
        else:
            edit(path, lambda data: data.replace(b"bob", b"Bob"))


def in_file(path: Path, statement: str) -> None:
    plain = path.with_suffix("")
    decompress(path, plain)
    with closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        connection.execute(statement)
    path.unlink()
    compress(plain, path)
    plain.unlink()


def test_F41_F109_the_manifest_holds_what_the_server_held(place: Place) -> None:
    backup = place.backup()
    assert backup.contents == place.database.contents(place.database.counts())
    assert (backup.samples, backup.not_digested) == ({}, {})
    found = place.compare(backup)
    assert found.equal
    assert "rows of 1 table by digest" in found.compared


def test_F92_a_manifest_that_does_not_count_what_is_filled_is_compared_as_ever(place: Place) -> None:
    """One of an earlier version."""
    place.sql("UPDATE users SET name = '' WHERE id = 2")
    backup = place.backup()
    assert backup.contents[place.name("users")].columns["name"].filled == 2
    text = re.sub(rb',"filled":\d+,"filledDigest":"\w+"', b"", msgspec.json.encode(backup))
    older = msgspec.json.decode(text, type=Backup)
    assert older.contents[place.name("users")].columns["name"].filled is None
    found = place.compare(older)
    assert found.equal
    assert "rows of 1 table by digest" in found.compared
    place.sql("UPDATE users SET name = 'bo' WHERE id = 2")
    words = describe_wrong(compare_restored(place.database, older))
    assert words == f"table {place.name('users')} has other values in name"


def test_F109_a_dump_that_lacks_a_row_and_ends_well_is_not_proven(place: Place) -> None:
    place.spoil = without_bob
    backup = place.backup()
    assert backup.row_counts[place.name("users")].rows == 3
    assert (
        describe_wrong(place.compare(backup)) == f"table {place.name('users')} has 2 rows, 3 were backed up"
    )


def test_F41_a_dump_with_another_value_is_not_proven(place: Place) -> None:
    place.spoil = with_other_bob
    found = place.compare(place.backup())
    assert describe_wrong(found) == f"table {place.name('users')} has other values in name"


def test_F41_values_whose_text_is_not_all_of_them(request, tmp_path: Path) -> None:
    place = new_place("postgresql", request, tmp_path)
    place.sql(
        "CREATE TABLE odd (id int PRIMARY KEY, f real, d float8, i interval, t timestamptz, b bytea, m money,"
        " c regclass, j json, x xml, n numeric)",
        "INSERT INTO odd VALUES (1, 123456.79, 0.1, '1 mon', now(), '\\x00ff', 5, 'odd', '{\"a\" : 1.0}', '<a/>', 'NaN'),"
        " (2, '-0', '-0', '-1 day', '-infinity', '', -5, NULL, NULL, NULL, 1.00), (3, 'NaN', 'inf', NULL, NULL, NULL,"
        " NULL, NULL, NULL, NULL, 0)",
    )
    backup = place.backup()
    one = backup.contents["public.odd"]
    with place.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE \"{place.database.url.database}\" SET datestyle = 'SQL, DMY'")
        cursor.execute(f'ALTER DATABASE "{place.database.url.database}" SET extra_float_digits = -3')
        cursor.execute(f"ALTER DATABASE \"{place.database.url.database}\" SET lc_monetary = 'C.UTF-8'")
    assert place.database.contents(["public.odd"])["public.odd"] == one, "settings do not count"
    assert place.compare(backup).equal
    for number, column in enumerate(("f = f + 1e-2", "d = 0.1::float8 + 1e-16", "f = 0"), 1):
        place.sql(f"UPDATE odd SET {column} WHERE id = {min(number, 2)}")
        now = place.database.contents(["public.odd"])["public.odd"]
        assert now != one, column
        one = now


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_values_of_mysql_whose_text_is_not_all_of_them(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    place.sql(
        "CREATE TABLE odd (id INT PRIMARY KEY, f FLOAT UNIQUE, d DOUBLE, c CHAR(9), g VARCHAR(9) CHARACTER SET gbk,"
        " b VARBINARY(9), j JSON)",
        "INSERT INTO odd VALUES (1, 123456.79, 0.1, 'a  ', _gbk x'FE50', x'00ff', '{\"a\": 1.5}'),"
        " (2, 123456.78, 0.3, '', _gbk x'FE55', '', NULL)",
    )
    backup = place.backup()
    before = place.database.contents(["odd"])["odd"]
    assert backup.contents["odd"] == before
    assert place.compare(backup).equal
    for change in ("f = 123456.7", "d = 0.30000000000000004", "g = _gbk x'FE57'", "b = x'20'"):
        place.sql(f"UPDATE odd SET {change} WHERE id = 2")
        now = place.database.contents(["odd"])["odd"]
        assert now != before, change
        before = now


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_rows_of_mysql_that_a_text_of_them_could_confuse(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    place.sql(
        "CREATE TABLE pairs (a VARCHAR(80) CHARACTER SET latin1, b TEXT, x VARBINARY(9), y BLOB, n INT)"
    )

    def digest_of(*rows: str) -> str | None:
        place.sql("DELETE FROM pairs", *(f"INSERT INTO pairs VALUES ({row})" for row in rows))
        return place.database.contents(["pairs"])["pairs"].digest

    long = "REPEAT('a', 70)"
    rows = (
        "'ab', 'c', '', '', 0",
        "'a', 'bc', '', '', 0",
        "'', 'abc', '', '', 0",
        "NULL, '', '', '', 0",
        "'', NULL, '', '', 0",
        "'', '', '', '', 0",
        "'', '', '', '', NULL",
        "_latin1 x'FF', '', '', '', 0",
        "'', _latin1 x'FF', '', '', 0",
        "'', '', x'FF', x'', 0",
        "'', '', x'', x'FF', 0",
        "'', '', x'FE', NULL, 0",
        "'', '', NULL, x'FE', 0",
        f"{long}, '', '', '', 0",
        f"SHA2({long}, 256), '', '', '', 0",
    )
    assert len({digest_of(row) for row in rows}) == len(rows)
    one, other = rows[:2]
    doubled = [(one, one), (other, other), (one, one, other, other), (one, other), (one, one, one)]
    assert len({digest_of(*rows) for rows in doubled}) == len(doubled), (
        "without a key a row may be there twice"
    )


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_values_that_make_up_for_each_other_are_seen(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    place.sql(
        "CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(9), balance INT)",
        "INSERT INTO accounts VALUES (1, 'ann', 100), (2, 'bob', 201), (3, 'cid', 201)",
    )
    before = place.database.contents(["accounts"])["accounts"]
    place.sql("UPDATE accounts SET balance = balance + IF(id = 1, 1, -1) WHERE id < 3")
    moved = place.database.contents(["accounts"])["accounts"]
    assert moved.columns["balance"] != before.columns["balance"]
    place.sql("UPDATE accounts SET balance = IF(id = 1, 201, 100) WHERE id < 3")
    swapped = place.database.contents(["accounts"])["accounts"]
    assert (swapped.columns, swapped.digest != before.digest) == (before.columns, True)


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_a_type_that_holds_the_same_has_the_same_digest(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    place.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(40) CHARACTER SET latin1, note VARCHAR(200))",
        "INSERT INTO t VALUES (1, _latin1 x'E9FF', REPEAT('x', 150)), (2, NULL, '')",
    )
    before = place.database.contents(["t"])["t"]
    for change in (
        "MODIFY name VARCHAR(2000) CHARACTER SET utf8mb4",
        "MODIFY note LONGTEXT",
        "MODIFY id BIGINT",
        "MODIFY name ENUM('no', 'éÿ')",
    ):
        place.sql(f"ALTER TABLE t {change}")
        assert place.database.contents(["t"])["t"] == before, change


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_a_value_that_the_server_cannot_hash_is_told(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    with place.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.max_allowed_packet")
        ((packet,),) = cursor.fetchall()
    place.sql(
        *USERS,
        "CREATE TABLE odd (id INT PRIMARY KEY, g LONGTEXT CHARACTER SET gbk)",
        "INSERT INTO odd VALUES (1, CONVERT(REPEAT(x'FE50', 300000) USING gbk)), (2, 'x')",
        "SET GLOBAL max_allowed_packet = 1048576",
    )
    try:
        backup = place.backup()
        assert backup.not_digested == {
            "odd": "a value is too large for the server to put it into a text (max_allowed_packet)"
        }
        found = place.compare(backup)
        assert (backup.row_counts["odd"].rows, found.wrong) == (2, ())
        assert "row counts of 1 table" in found.compared
        assert f"odd: {backup.not_digested['odd']}" in found.not_compared
    finally:
        place.sql(f"SET GLOBAL max_allowed_packet = {packet}")


def test_F109_digests_of_an_earlier_kind_are_told_and_rows_counted(request, tmp_path: Path) -> None:
    place = new_place("mariadb", request, tmp_path)
    place.sql(*USERS)
    backup = place.backup()
    kind, _, digits = (backup.contents["users"].digest or "").partition(":")
    assert (kind, digits.isdecimal()) == ("sha2", True)
    old = replace(backup.contents["users"], digest=digits)
    found = place.compare(replace(backup, contents={"users": old}))
    assert found.equal, found.wrong
    assert "row counts of 1 table" in found.compared
    assert (
        "users: the backup's digests are of an earlier version of ci-migrate, they were only counted"
        in found.not_compared
    )
    fewer = replace(
        backup, contents={"users": old}, row_counts={"users": replace(backup.row_counts["users"], rows=4)}
    )
    assert describe_wrong(place.compare(fewer)) == "table users has 3 rows, 4 were backed up"


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F41_a_copy_is_read_by_two_sessions(engine: str, request, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rows, "PATIENCE", 0)
    place = new_place(engine, request, tmp_path, lock_timeout=1)
    place.sql(*(f"CREATE TABLE t{n} AS SELECT {n} AS id, 'x' AS name" for n in range(30)))
    backup = place.backup()
    readers = set()
    both = threading.Barrier(2, timeout=60)
    plain = rows.read_content

    def read(cursor, *rest):
        if (session := cursor.connection.thread_id()) not in readers:
            readers.add(session)
            both.wait()
        return plain(cursor, *rest)

    monkeypatch.setattr(rows, "read_content", read)
    with (
        place.database.scratch("contents_2", tmp_path / "scratch") as copy,
        place.catalog.reading(backup) as payload,
    ):
        copy.load(payload)
        assert copy.contents(backup.contents) == backup.contents
        assert len(readers) == 2
        with closing(connect(copy.url)) as other:
            other.cursor().execute("LOCK TABLES t7 WRITE")
            with pytest.raises(LockWaitError):
                copy.contents(backup.contents)


@pytest.mark.parametrize("engine", ["sqlite", "postgresql", "mariadb"])
def test_F41_above_the_budget_a_sample_is_compared_and_named(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path, compare_budget=0)
    rows = "SELECT n, 'x' FROM numbers WHERE n BETWEEN {} AND {}"
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 90000)"
    place.sql(
        *USERS,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, note VARCHAR(9))",
        *(["SET SESSION max_recursive_iterations = 90000"] if engine == "mariadb" else []),
        f"INSERT INTO orders {numbers} {rows.format(1, 90000)}",
        "CREATE TABLE heap (id INTEGER, note VARCHAR(9))",
        f"INSERT INTO heap {numbers} {rows.format(1, 45000)}",
        "ANALYZE TABLE orders, heap" if engine == "mariadb" else "ANALYZE",
    )
    backup = place.backup()
    orders, heap = place.name("orders"), place.name("heap")
    assert set(backup.contents) == {place.name("users")}
    assert backup.samples[orders].content.rows == 40000
    found = place.compare(backup)
    assert found.equal, found
    key = "rowid" if engine == "sqlite" else "id"
    assert f"{orders}: 40,000 of 90,000 rows, by ranges of {key}" in found.compared
    if engine != "sqlite":
        assert any(w.startswith(f"{heap}: ") and "no sample" in w for w in found.not_compared)
    assert any(orders in w and "only a sample" in w for w in found.not_compared)
    place.sql("UPDATE orders SET note = 'y' WHERE id = 90000")
    other = place.backup()
    assert other.samples[orders].content.columns["note"] != backup.samples[orders].content.columns["note"]
    wrong = place.compare(replace(other, samples=backup.samples))
    assert describe_wrong(wrong) == f"table {orders} has other values in note, in a sample"


def test_F42_what_the_session_does_not_see_is_told(request, tmp_path: Path) -> None:
    place = new_place("postgresql", request, tmp_path)
    role, url = f"r_{uuid.uuid4().hex[:8]}", place.database.url
    place.sql(
        f"CREATE ROLE {role} LOGIN CREATEDB PASSWORD 'secret'",
        *USERS,
        f"ALTER TABLE users OWNER TO {role}",
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE users FORCE ROW LEVEL SECURITY",
        "CREATE POLICY nobody ON users USING (false)",
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"GRANT CREATE ON DATABASE {url.database} TO {role}",
    )
    backup = place.backup()
    assert backup.contents["public.users"].rows == 3, "a superuser sees all"
    theirs = PostgreSQL(url.set(username=role, password="secret"))
    assert theirs.contents(["public.users"])["public.users"].digest is None
    with theirs.scratch("unseen_1", tmp_path) as copy, place.catalog.reading(backup) as payload:
        copy.load(payload)
        found = compare_restored(copy, backup)
    assert found.equal, found.wrong
    assert "public.users: the session that reads the copy does not see all of it" in found.not_compared
    assert not any("by digest" in words for words in found.compared)
    place.sql(f"REASSIGN OWNED BY {role} TO CURRENT_USER", f"DROP OWNED BY {role}")


def test_F42_what_is_digested_by_nobody_is_named(request, tmp_path: Path) -> None:
    place = new_place("postgresql", request, tmp_path)
    place.sql(
        "CREATE TABLE t (id serial PRIMARY KEY)",
        "INSERT INTO t DEFAULT VALUES",
        "CREATE SEQUENCE tickets START 50",
        "CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM t",
        "SELECT lo_from_bytea(0, 'x')",
        "CREATE EXTENSION pg_trgm",
        "CREATE TABLE learned (word text)",
        "INSERT INTO learned VALUES ('a')",
        "ALTER EXTENSION pg_trgm ADD TABLE learned",
    )
    backup = place.backup()
    assert backup.sequences == {"public.t_id_seq": "1 given out", "public.tickets": "50 comes next"}
    assert backup.not_digested == {
        "materialized view public.seen": "a restore makes its rows anew",
        "table public.learned": "it belongs to the extension pg_trgm, so pg_dump leaves its rows out",
        "large objects": "1 of them are dumped, and not compared",
    }
    found = place.compare(backup)
    assert found.equal, found.wrong
    assert "2 sequences" in found.compared
    assert {words.partition(":")[0] for words in found.not_compared} >= {
        "materialized view public.seen",
        "table public.learned",
        "large objects",
    }
    other = replace(backup, sequences={**backup.sequences, "public.tickets": "77 given out"})
    assert describe_wrong(place.compare(other)) == (
        "sequence public.tickets: 50 comes next, and 77 given out was backed up"
    )


@pytest.mark.parametrize("engine", ["mariadb", "mysql9"])
def test_F42_an_account_that_may_not_see_all_of_it_is_told(engine: str, request, tmp_path: Path) -> None:
    place = new_place(engine, request, tmp_path)
    url, user = place.database.url, f"u_{uuid.uuid4().hex[:8]}"
    place.sql(
        *USERS,
        "CREATE TABLE hidden (id INT)",
        f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'secret'",
        f"GRANT ALL ON {url.database}.users TO {user}@'127.0.0.1'",
        f"GRANT EVENT ON {url.database}.* TO {user}@'127.0.0.1'",
    )
    theirs = Place(MySQL(url.set(username=user, password="secret")), tmp_path / "theirs")
    backup = theirs.backup()
    assert backup.tables == ("users",)
    assert backup.not_digested == {
        "tables and columns that are hidden": f"{user}@127.0.0.1 has no SELECT on all of {url.database}"
    }
    assert place.backup().not_digested == {}
    place.sql(f"DROP USER {user}@'127.0.0.1'")

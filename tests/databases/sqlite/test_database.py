"""SQLite behind the contract of a database, on real files."""

import errno
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url, text

from ci_migrate.databases import compression
from ci_migrate.databases.base import Database, session
from ci_migrate.databases.sqlite import files as sqlite_files
from ci_migrate.databases.sqlite import rows as sqlite_rows
from ci_migrate.databases.sqlite.database import PAYLOAD, SQLite
from ci_migrate.errors import BackupError, DatabaseError, LockedError, UsageError
from ci_migrate.model import RowCount, VersionTable

VERSIONS = [VersionTable()]


def at(path: Path, **options) -> SQLite:
    return SQLite(URL.create("sqlite", database=str(path)), **options)


def run(path: Path, *statements: str, wal: bool = False) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        for statement in statements:
            connection.execute(statement)


def query(path: Path, sql: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def database(file: Path) -> SQLite:
    run(
        file,
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "INSERT INTO alembic_version VALUES ('3f2a')",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE)",
        "INSERT INTO users (email) VALUES ('a@example.com'), ('b@example.com')",
    )
    return at(file)


@pytest.fixture
def dumped(database: SQLite, tmp_path: Path) -> Path:
    folder = tmp_path / "dump"
    folder.mkdir()
    database.dump(folder, VERSIONS)
    return folder


# ------------------------------------------------------------------ URLs


@pytest.mark.parametrize(
    ("driver", "name", "query"),
    [
        ("sqlite", "{}/my app.db", {}),
        ("sqlite+pysqlite", "{}/my app.db", {"timeout": "3"}),
        ("sqlite+aiosqlite", "{}/my app.db", {}),
        ("sqlite", "file:{}/my%20app.db", {"uri": "true"}),
        ("sqlite", "file://localhost{}/my%20app.db", {"uri": "true", "mode": "rwc"}),
        ("sqlite", "{}/link.db", {}),
    ],
)
def test_urls_of_a_file(driver: str, name: str, query: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("my app.db")
    url = URL.create(driver, database=name.format(tmp_path), query=query)
    assert SQLite(url).file == tmp_path.resolve() / "my app.db"


def test_a_relative_path_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    database = SQLite(make_url("sqlite:///sub/app.db"))
    assert database.file == tmp_path.resolve() / "sub" / "app.db"
    assert database.url.database == str(database.file)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:x?mode=memory&uri=true",
    ],
)
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="memory"):
        SQLite(make_url(url))


def test_an_encrypted_dialect_is_refused() -> None:
    with pytest.raises(UsageError):
        SQLite(make_url("sqlite+pysqlcipher://:secret@/app.db"))


# ------------------------------------------------------------------ reading


def test_a_file_that_does_not_exist_is_an_empty_database_and_stays_away(file: Path) -> None:
    database = at(file)
    database.ping()
    assert database.schema() == {}
    assert database.counts() == {}
    assert database.contents(["users"]) == {}
    assert database.heads([VersionTable(), VersionTable(name="other")]) == ((), ())
    assert database.size() == 0
    with session(database, read_only=True) as connection:
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert list(file.parent.iterdir()) == []


def test_identity_and_wall_name_the_real_file(database: SQLite, file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    facts = {"file": str(file.resolve())}
    assert at(link).identity() == database.identity()
    assert database.identity().facts == facts
    assert database.wall().match == database.wall().connect == facts
    found = file.stat()
    assert database.wall().identity == {**facts, "inode": f"{found.st_dev}:{found.st_ino}"}


def test_heads(database: SQLite, file: Path) -> None:
    run(
        file,
        'CREATE TABLE "my ""versions" (version_num)',
        "INSERT INTO \"my \"\"versions\" VALUES ('b'), ('a')",
    )
    tables = [VersionTable(name='my "versions'), VersionTable(name="none"), VersionTable(schema="main")]
    assert database.heads(tables) == (("a", "b"), (), ("3f2a",))


def test_reading_after_a_kill_rolls_the_journal_back(database: SQLite, file: Path) -> None:
    script = (
        "import os, signal, sqlite3\n"
        f"c = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        "c.execute('PRAGMA cache_size=1'); c.execute('PRAGMA cache_spill=1'); c.execute('BEGIN IMMEDIATE')\n"
        "c.execute('CREATE TABLE half (x)')\n"
        "c.executemany('INSERT INTO half VALUES (?)', [('x' * 500,)] * 2000)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    before = database.schema()
    subprocess.run([sys.executable, "-c", script], check=False)
    assert file.with_name("app.db-journal").stat().st_size > 0, "no hot journal: the test tests nothing"
    assert at(file).schema() == before
    assert at(file).heads(VERSIONS) == (("3f2a",),)


# ------------------------------------------------------------------ ping


def test_ping_names_what_is_not_a_database(file: Path) -> None:
    file.write_bytes(os.urandom(8192))
    with pytest.raises(DatabaseError, match=r"app\.db") as caught:
        at(file).ping()
    assert "encrypted" in caught.value.hint


def test_ping_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        at(tmp_path / "none" / "app.db").ping()


def test_ping_names_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="not a file"):
        at(tmp_path).ping()


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "word"), [(0o400, 0o700, "read and written"), (0o600, 0o500, "not writable")]
)
def test_ping_names_a_missing_right(file_mode: int, folder_mode: int, word: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        run(folder / "app.db", "CREATE TABLE t (x)")
        script = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from sqlalchemy import URL\n"
            "from ci_migrate.databases.sqlite.database import SQLite\n"
            "database = SQLite(URL.create('sqlite', database=sys.argv[1]))\n"
            "if os.getuid() == 0: os.setuid(65534)\n"  # root may do anything
            "try: database.ping()\n"
            "except Exception as error: print(type(error).__name__, error)\n"
        )
        owner = 65534 if os.getuid() == 0 else os.getuid()
        for path, mode in ((folder / "app.db", file_mode), (folder, folder_mode)):
            os.chown(path, owner, -1)
            path.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder / "app.db")], capture_output=True, text=True, check=True
        )
        folder.chmod(0o700)
    assert done.stdout.startswith("DatabaseError")
    assert word in done.stdout


def test_a_locked_database_is_named_after_the_timeout(database: SQLite, file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="locked") as caught:
            at(file, lock_timeout=0.2).schema()
        assert time.monotonic() - started < 3
    assert "Another connection" in caught.value.hint
    assert database.schema()


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize(
    "rows",
    [
        "(1, 'x'), (2.0, NULL), (2, NULL)",
        "(1, 'x'), ('2', NULL), (2, NULL)",
        "(1, x'78'), (2, NULL), (2, NULL)",
    ],
)
def test_contents_see_the_type_that_a_value_is_stored_as(tmp_path: Path, rows: str) -> None:
    run(tmp_path / "1.db", "CREATE TABLE t (a, b)", "INSERT INTO t VALUES (1, 'x'), (2, NULL), (2, NULL)")
    run(tmp_path / "2.db", "CREATE TABLE t (a, b)", f"INSERT INTO t VALUES {rows}")
    one, two = (at(tmp_path / name).contents(["t"])["t"] for name in ("1.db", "2.db"))
    assert one.digest != two.digest


def test_contents_of_anything_that_sqlite_stores(file: Path) -> None:
    many = ", ".join(f"c{i}" for i in range(2000))
    run(
        file,
        f"CREATE TABLE wide ({many})",
        "INSERT INTO wide (c0) VALUES (1)",
        "CREATE TABLE t (a, g AS (a || 'x'))",
        "INSERT INTO t (a) VALUES (CAST(x'ff00fe' AS TEXT)), (-9223372036854775808), (9e999), (zeroblob(5))",
        'CREATE TABLE "W.x" ("a""b")',
    )
    contents = at(file).contents(["wide", "t", "w.X"])
    assert contents["wide"].columns["c0"].values == 1
    assert contents["t"].columns["g"].values == 4
    assert contents["W.x"].rows == 0


def test_contents_do_not_depend_on_batches(database: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    content = database.contents(["users"])
    monkeypatch.setattr(sqlite_rows, "_BATCH", 1)
    assert database.contents(["users"]) == content


@pytest.mark.parametrize(
    "columns", ["(a, b)", "(rowid, b, a)", "(a PRIMARY KEY, b)", "(a PRIMARY KEY, b) WITHOUT ROWID"]
)
def test_F90_large_blobs_are_hashed_in_pieces(
    file: Path, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    run(
        file,
        f"CREATE TABLE t {columns}",
        "INSERT INTO t (a, b) VALUES (1, randomblob(40000)), (2, CAST(randomblob(40000) AS TEXT)), (3, NULL), (x'00', 'x')",
        "INSERT INTO t (a, b) VALUES (zeroblob(20000), zeroblob(30000))",
        "CREATE TABLE g (a, g AS (a || a) STORED, v AS (CAST(a AS BLOB)))",
        "INSERT INTO g VALUES (randomblob(20000)), (x'')",
    )
    whole = at(file).contents(["t", "g"])
    monkeypatch.setattr(sqlite_rows, "LARGE", 10_000)
    monkeypatch.setattr(sqlite_rows, "_BYTES", 3000)
    assert at(file).contents(["t", "g"]) == whole
    run(file, "UPDATE t SET b = CAST(b || x'00' AS BLOB) WHERE a = 1")
    assert at(file).contents(["t"])["t"].columns["b"] != whole["t"].columns["b"]


# ------------------------------------------------------------------ lock


def test_L1_the_lock_has_one_holder_and_names_it(database: SQLite, file: Path) -> None:
    with database.lock("run-one", 0) as lock:
        lock.check()
        path = Path(f"{file}.ci-migrate.lock")
        assert path.stat().st_mode & 0o777 == 0o600
        started = time.monotonic()
        with pytest.raises(LockedError, match=f"run-one, pid {os.getpid()}"), at(file).lock("run-two", 0.3):
            pass
        assert 0.3 <= time.monotonic() - started < 3
    with database.lock("run-two", 0):
        assert "run-two" in path.read_text()


def test_L2_a_child_keeps_the_lock_of_a_parent_that_is_gone(database: SQLite) -> None:
    with database.lock("one", 0) as lock:
        assert lock.fd is not None
        assert not os.get_inheritable(lock.fd)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.fd])
    with pytest.raises(LockedError), database.lock("two", 0):
        pass
    child.communicate(b"\n")
    with database.lock("two", 0):
        pass


def test_the_lock_is_never_made_through_a_link(database: SQLite, file: Path, tmp_path: Path) -> None:
    Path(f"{file}.ci-migrate.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatabaseError, match=r"\.ci-migrate\.lock"), database.lock("one", 0):
        pass
    assert not (tmp_path / "elsewhere").exists()


# ------------------------------------------------------------------ dump


def test_a_dump_is_one_file_and_tells_how_far_it_is(database: SQLite, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    seen = []
    database.dump(tmp_path / "dump", VERSIONS, lambda done, total: seen.append((done, total)))
    assert [path.name for path in (tmp_path / "dump").iterdir()] == [PAYLOAD]
    assert seen[-1][0] == seen[-1][1] > 0


def test_B15_a_dump_has_what_is_only_in_the_wal(file: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        (tmp_path / "dump").mkdir()
        assert at(file).dump(tmp_path / "dump", []).row_counts == {"t": RowCount(rows=1)}
        connection.execute("DROP TABLE t")
        connection.commit()
    with at(file).scratch("r", tmp_path / "s") as copy:
        copy.load(tmp_path / "dump")
        assert copy.counts() == {"t": RowCount(rows=1)}


@pytest.mark.parametrize("wal", [True, False])
def test_B14_a_dump_ends_under_a_hot_writer(file: Path, tmp_path: Path, wal: bool) -> None:
    run(file, "CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE fill (x)", wal=wal)
    run(file, "INSERT INTO fill SELECT zeroblob(1000) FROM json_each('[1" + ",1" * 4999 + "]')")
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(file, timeout=30, isolation_level=None)) as connection:
            while not stop.is_set():
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("INSERT INTO a VALUES (1)")
                connection.execute("INSERT INTO b VALUES (1)")
                connection.execute("COMMIT")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        (tmp_path / "dump").mkdir()
        counts = at(file, lock_timeout=30).dump(tmp_path / "dump", []).row_counts
    finally:
        stop.set()
        writer.join()
    assert counts["a"] == counts["b"]
    with at(file).scratch("r", tmp_path / "s") as copy:
        copy.load(tmp_path / "dump")
        assert copy.counts() == counts


def test_a_dump_of_a_locked_database_is_bounded(database: SQLite, file: Path, tmp_path: Path) -> None:
    (tmp_path / "dump").mkdir()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="locked"):
            at(file, lock_timeout=0.3).dump(tmp_path / "dump", VERSIONS)
        assert time.monotonic() - started < 5
    assert list((tmp_path / "dump").iterdir()) == []


def test_B22_ten_thousand_tables(file: Path, tmp_path: Path) -> None:
    run(
        file,
        "BEGIN",
        *(f"CREATE TABLE t{i} (id INTEGER PRIMARY KEY, x TEXT)" for i in range(10_000)),
        "COMMIT",
    )
    (tmp_path / "dump").mkdir()
    assert len(at(file).dump(tmp_path / "dump", []).row_counts) == 10_000


def test_what_is_packed_while_it_is_checked_goes_with_a_check_that_fails(
    database: SQLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packing waits until the check has failed, in the middle of its file."""
    failed, pieces, packed = threading.Event(), [], compression.compress

    def compress(source: Path, target: Path, progress: compression.Progress) -> None:
        def wait_and_go_on(done: int, total: int) -> None:
            failed.wait(60)
            pieces.append(done)
            progress(done, total)

        packed(source, target, wait_and_go_on)

    def check(copied: Path, _what: str) -> None:
        assert copied.stat().st_size > 2 << 20
        failed.set()
        raise BackupError("It is damaged.")

    monkeypatch.setattr(compression, "compress", compress)
    monkeypatch.setattr(sqlite_files, "check", check)
    run(database.file, "CREATE TABLE large AS SELECT randomblob(5000000) AS data")
    (tmp_path / "into").mkdir()
    with pytest.raises(BackupError, match="damaged"):
        database.dump(tmp_path / "into", VERSIONS)
    assert len(pieces) <= 3
    assert list((tmp_path / "into").iterdir()) == []
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]


def test_a_disk_that_is_full_while_it_is_packed_is_told(
    database: SQLite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_given: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(compression, "flush", full)
    (tmp_path / "into").mkdir()
    with pytest.raises(BackupError, match="No space left"):
        database.dump(tmp_path / "into", VERSIONS)


def test_a_damaged_database_is_never_backed_up(file: Path, tmp_path: Path) -> None:
    run(
        file,
        "CREATE TABLE t (x)",
        "CREATE INDEX i ON t (x)",
        "INSERT INTO t SELECT zeroblob(900) FROM json_each('[1" + ",1" * 99 + "]')",
    )
    data = bytearray(file.read_bytes())
    data[4096 * 3 : 4096 * 5] = b"\xff" * 8192
    file.write_bytes(data)
    (tmp_path / "dump").mkdir()
    with pytest.raises((BackupError, DatabaseError)):
        at(file).dump(tmp_path / "dump", [])
    assert list((tmp_path / "dump").iterdir()) == []


def test_a_collation_of_the_application_is_no_damage(file: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.create_collation("mine", lambda a, b: (a > b) - (a < b))
        connection.create_function("even", 1, lambda x: x % 2 == 0, deterministic=True)
        connection.execute("CREATE TABLE t (a TEXT COLLATE mine UNIQUE, b INT CHECK (even(b)))")
        connection.execute("CREATE INDEX i ON t (even(b))")
        connection.execute("INSERT INTO t VALUES ('x', 2)")
        connection.commit()
    (tmp_path / "dump").mkdir()
    assert at(file).dump(tmp_path / "dump", []).row_counts == {"t": RowCount(rows=1)}
    with at(file).scratch("r", tmp_path / "s") as copy:
        copy.load(tmp_path / "dump")
        assert query(copy.file, "SELECT a, b FROM t") == [("x", 2)]


# ------------------------------------------------------------------ load and scratch copies


def test_a_scratch_copy_goes_away(database: SQLite, dumped: Path, tmp_path: Path) -> None:
    with database.scratch("abc", tmp_path / "scratch") as copy:
        copy.load(dumped)
        run(copy.file, "CREATE TABLE more (x)", wal=True)
        assert copy.schema() != database.schema()
        assert copy.file.name == "ci_migrate_scratch_abc.sqlite3"
        assert copy.file.stat().st_mode & 0o077 == 0 or copy.file.parent.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_load_ignores_the_wal_of_a_file_that_is_gone(
    database: SQLite, file: Path, dumped: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE later (x)")
        connection.commit()
        kept.write_bytes(file.with_name("app.db-wal").read_bytes())
    file.unlink()
    file.with_name("app.db-wal").write_bytes(kept.read_bytes())
    loaded = at(file)
    loaded.load(dumped)
    assert loaded.counts().keys() == {"users", "alembic_version"}
    assert query(file, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("damage", ["flipped", "short", "missing", "empty", "other"])
def test_a_damaged_payload_is_refused(dumped: Path, tmp_path: Path, damage: str) -> None:
    payload = dumped / PAYLOAD
    data = bytearray(payload.read_bytes())
    if damage == "missing":
        payload.unlink()
    else:
        data[len(data) // 2] ^= 1
        short = data[: len(data) // 2]
        payload.write_bytes({"flipped": data, "short": short, "empty": b"", "other": b"hello"}[damage])
    target = at(tmp_path / "new.db")
    with pytest.raises(BackupError, match="damaged"):
        target.load(dumped)
    assert not target.file.exists()
    assert not [p for p in tmp_path.iterdir() if "new.db" in p.name]


# ------------------------------------------------------------------ replace


def change(database: SQLite) -> None:
    run(
        database.file,
        "DELETE FROM users",
        "ALTER TABLE users ADD COLUMN more TEXT",
        "UPDATE alembic_version SET version_num = 'new'",
    )


@pytest.mark.parametrize("wal", [True, False])
def test_replace_is_seen_by_open_connections(database: SQLite, file: Path, dumped: Path, wal: bool) -> None:
    before = at(file).schema()
    change(database)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        if wal:
            other.execute("PRAGMA journal_mode=WAL")
            other.execute("PRAGMA wal_autocheckpoint=0")
            other.execute("CREATE TABLE in_the_wal (x)")
        changed = database.schema()
        words = database.replace(dumped, lambda copy: None, "run-1")
        assert other.execute("SELECT count(*) FROM users").fetchone() == (2,)
    assert database.schema() == before != changed
    assert at(file).heads(VERSIONS) == (("3f2a",),)
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    kept = file.with_name("app.db.before_run-1")
    assert str(kept) in words
    assert at(kept).schema() == changed
    assert not [p for p in file.parent.iterdir() if p.name.startswith(".")]


def test_replace_when_a_killed_process_left_its_wal(database: SQLite, file: Path, dumped: Path) -> None:
    script = (
        "import os, signal, sqlite3\n"
        f"c = sqlite3.connect({str(file)!r}, isolation_level=None)\n"
        "c.execute('PRAGMA journal_mode=WAL'); c.execute('DROP TABLE users'); c.execute('CREATE TABLE junk (x)')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert file.with_name("app.db-wal").stat().st_size > 0
    database.replace(dumped, lambda copy: None, "x")
    assert query(file, "SELECT count(*) FROM users") == [(2,)]
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    assert at(file).counts().keys() == {"users", "alembic_version"}


def test_replace_of_another_page_size_in_wal_mode(database: SQLite, file: Path, dumped: Path) -> None:
    run(file, "PRAGMA page_size=8192", "VACUUM", "PRAGMA journal_mode=WAL")
    database.replace(dumped, lambda copy: None, "x")
    assert query(file, "SELECT count(*) FROM users") == [(2,)]
    change(database)
    run(file, "PRAGMA journal_mode=DELETE", "PRAGMA page_size=8192", "VACUUM", "PRAGMA journal_mode=WAL")
    with closing(sqlite3.connect(file)) as other:
        other.execute("SELECT * FROM users").fetchall()
        with pytest.raises(DatabaseError, match="locked"):
            at(file, lock_timeout=0.2).replace(dumped, lambda copy: None, "y")
        assert other.execute("SELECT version_num FROM alembic_version").fetchone() == ("new",)


def test_replace_stops_when_the_check_says_no(database: SQLite, file: Path, dumped: Path) -> None:
    change(database)
    before, names = file.read_bytes(), sorted(file.parent.iterdir())
    seen = []

    def refuse(copy: Database) -> None:
        seen.append(copy.schema())
        raise BackupError("not this one")

    with pytest.raises(BackupError, match="not this one"):
        database.replace(dumped, refuse, "x")
    assert "column users.more" not in seen[0]
    assert "column users.id" in seen[0]
    assert file.read_bytes() == before
    assert sorted(file.parent.iterdir()) == names


def test_replace_under_a_writer_is_bounded_and_changes_nothing(
    database: SQLite, file: Path, dumped: Path
) -> None:
    change(database)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="locked"):
            at(file, lock_timeout=0.3).replace(dumped, lambda copy: None, "x")
        assert time.monotonic() - started < 10
        other.execute("ROLLBACK")
    assert at(file).heads(VERSIONS) == (("new",),)


def test_replace_keeps_every_replaced_content(database: SQLite, file: Path, dumped: Path) -> None:
    file.chmod(0o640)
    for _ in range(2):
        database.replace(dumped, lambda copy: None, "../x y")
    kept = sorted(p.name for p in file.parent.glob("app.db.before_*"))
    assert kept == ["app.db.before_.._x_y", "app.db.before_.._x_y_2"]
    assert file.with_name(kept[0]).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("damage", ["header", "pages", "empty"])
def test_replace_of_a_file_that_is_no_database_any_more(
    database: SQLite, file: Path, dumped: Path, damage: str
) -> None:
    data = bytearray(file.read_bytes())
    if damage == "header":
        data[:100] = b"x" * 100
    if damage == "pages":
        data[100:] = b"\xff" * (len(data) - 100)
    file.write_bytes(b"" if damage == "empty" else data)
    database.replace(dumped, lambda copy: None, "x")
    assert query(file, "SELECT count(*) FROM users") == [(2,)]
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    if damage != "empty":
        assert file.with_name("app.db.before_x").read_bytes()[200:] == data[200:]


def test_V10_what_a_killed_restore_left_is_swept(database: SQLite, file: Path, dumped: Path) -> None:
    def die(copy: Database) -> None:
        os._exit(9)

    child = os.fork()
    if child == 0:
        database.replace(dumped, die, "x")
    os.waitpid(child, 0)
    (left,) = [p for p in file.parent.iterdir() if p.name.startswith(".")]
    assert database.sweep() == []
    os.utime(left, (time.time() - 90_000,) * 2)
    assert database.sweep() == [left.name]
    assert not left.exists()
    assert query(file, "SELECT count(*) FROM users") == [(2,)]


def test_replace_where_nothing_was(dumped: Path, tmp_path: Path) -> None:
    target = at(tmp_path / "new.db")
    target.replace(dumped, lambda copy: None, "x")
    assert target.counts()["users"] == RowCount(rows=2)


# ------------------------------------------------------------------ words

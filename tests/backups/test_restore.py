"""Restoring over a live SQLite database: proved first, swapped then."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from permits import restored
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.restore import restore_loss
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.sqlite.database import PAYLOAD, SQLite
from ci_migrate.errors import BackupError, RefusedError
from ci_migrate.model import Backup, Fingerprint, RowCount, VersionTable


def run(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.fixture
def database(tmp_path: Path) -> SQLite:
    run(
        tmp_path / "app.db",
        "CREATE TABLE alembic_version (version_num)",
        "INSERT INTO alembic_version VALUES ('3f2a')",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, email)",
        "INSERT INTO users (email) VALUES ('a'), ('b')",
    )
    return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")), lock_timeout=0.3)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(LocalStorage(tmp_path / "backups"))


@pytest.fixture
def backup(catalog: Catalog, database: SQLite) -> Backup:
    """A backup, and a database that changed since."""
    made = catalog.create(database, target="dev", version_tables=[VersionTable()], migration_version="x")
    run(
        database.file,
        "UPDATE alembic_version SET version_num = 'half'",
        "DELETE FROM users",
        "CREATE TABLE _alembic_tmp_users (id)",
        "INSERT INTO _alembic_tmp_users VALUES (1), (2), (3)",
        "CREATE INDEX leftover ON users (email)",
    )
    return made


def state(database: SQLite) -> tuple:
    return database.schema(), database.contents(database.counts()), database.heads([VersionTable()])


def test_V9_a_restore_leaves_nothing_of_the_failed_migration(
    database: SQLite, backup: Backup, catalog: Catalog
) -> None:
    failed = state(database)
    words = restored(database, backup, catalog)
    assert Fingerprint.of(database.schema()) == backup.fingerprint
    assert database.counts() == backup.row_counts
    assert database.heads([VersionTable()]) == (("3f2a",),)
    (kept,) = database.file.parent.glob("app.db.before_*")
    assert str(kept) in words
    assert state(SQLite(URL.create("sqlite", database=str(kept)))) == failed


@pytest.mark.parametrize("damage", ["flipped", "short", "gone"])
def test_V1_V2_a_damaged_backup_is_refused_before_the_target_is_touched(
    database: SQLite, backup: Backup, catalog: Catalog, damage: str
) -> None:
    payload = Path(backup.backup_path) / PAYLOAD
    data = bytearray(payload.read_bytes())
    data[len(data) // 2] ^= 1
    payload.write_bytes(data if damage == "flipped" else data[:-1])
    if damage == "gone":
        payload.unlink()
    before, names = database.file.read_bytes(), sorted(database.file.parent.iterdir())
    with pytest.raises(BackupError, match=PAYLOAD):
        restored(database, backup, catalog)
    assert database.file.read_bytes() == before
    assert sorted(database.file.parent.iterdir()) == names


def test_a_backup_that_restores_to_something_else_is_refused(
    database: SQLite, backup: Backup, catalog: Catalog
) -> None:
    before = database.file.read_bytes()
    assert backup.fingerprint is not None
    other = Fingerprint(objects={**backup.fingerprint.objects, "column users.email": "0" * 16})
    with pytest.raises(BackupError, match=r"column users\.email reads differently"):
        restored(database, msgspec.structs.replace(backup, fingerprint=other), catalog)
    with pytest.raises(BackupError, match=r"column users\.email reads differently"):
        restored(database, backup, catalog, expected=other)
    rows = {**backup.row_counts, "users": RowCount(rows=3), "gone": RowCount(rows=1)}
    with pytest.raises(BackupError, match="users has 2 rows, 3 were backed up; table gone has no rows"):
        restored(database, msgspec.structs.replace(backup, row_counts=rows), catalog)
    assert database.file.read_bytes() == before


def test_an_estimate_proves_nothing_and_refuses_nothing(
    database: SQLite, backup: Backup, catalog: Catalog
) -> None:
    rows = {"users": RowCount(rows=1000, exact=False)}
    restored(database, msgspec.structs.replace(backup, row_counts=rows), catalog)


def test_V11_a_backup_of_another_engine_is_refused(
    database: SQLite, backup: Backup, catalog: Catalog
) -> None:
    with pytest.raises(RefusedError, match="postgresql"):
        restored(database, msgspec.structs.replace(backup, dialect="postgresql"), catalog)


def test_a_half_written_backup_is_never_restored(database: SQLite, backup: Backup, catalog: Catalog) -> None:
    (Path(backup.backup_path) / "manifest.json").unlink()
    failed = catalog.get(backup.backup_id)
    before = database.file.read_bytes()
    with pytest.raises(BackupError, match="not complete"):
        restored(database, failed, catalog)
    assert database.file.read_bytes() == before


def test_V10_a_restore_can_be_run_again(database: SQLite, backup: Backup, catalog: Catalog) -> None:
    with closing(sqlite3.connect(database.file, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        failed = state(database)
        with pytest.raises(Exception, match="locked"):
            restored(database, backup, catalog)
        writer.execute("ROLLBACK")
    assert state(database) == failed
    restored(database, backup, catalog)
    restored(database, backup, catalog)
    assert database.counts() == backup.row_counts


def test_what_a_restore_would_lose(database: SQLite, backup: Backup) -> None:
    assert restore_loss(database, backup) == {"_alembic_tmp_users": (3, None), "users": (0, 2)}
    run(database.file, "DROP TABLE users")
    assert restore_loss(database, backup)["users"] == (None, 2)


@pytest.mark.parametrize("wal", [False, True])
def test_V10_killed_at_any_write_of_the_live_file(
    database: SQLite, backup: Backup, catalog: Catalog, tmp_path: Path, wal: bool
) -> None:
    """Every kill leaves the database as it was, or restored; never in between."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    run(database.file, f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    failed, copy, killed = state(database), database.file.read_bytes(), 0
    assert backup.fingerprint is not None
    for number in (1, 2, 3, 5, 9):
        trace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-P", str(database.file)]
        trace += ["-P", f"{database.file}-wal", "-e", f"inject=pwrite64:signal=KILL:when={number}"]
        script = (
            "import sys\n"
            "from pathlib import Path\n"
            "from sqlalchemy import URL\n"
            "from ci_migrate.databases.sqlite.database import SQLite\n"
            "SQLite(URL.create('sqlite', database=sys.argv[1])).replace(Path(sys.argv[2]), lambda copy: None, 'x')\n"
        )
        done = subprocess.run(
            [*trace, sys.executable, "-c", script, str(database.file), backup.backup_path],
            capture_output=True,
            text=True,
            check=False,
        )
        if "ptrace" in done.stderr:
            pytest.skip("tracing is not allowed here")
        killed += done.returncode != 0
        now = SQLite(database.url)
        if Fingerprint.of(now.schema()) == backup.fingerprint:
            assert now.counts() == backup.row_counts
        else:
            assert state(now) == failed
        with closing(sqlite3.connect(database.file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for suffix in ("-wal", "-shm", "-journal"):
            Path(f"{database.file}{suffix}").unlink(missing_ok=True)
        database.file.write_bytes(copy)
    assert killed >= 3

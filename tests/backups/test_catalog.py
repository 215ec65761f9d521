"""The catalog of backups, on real folders and SQLite files; faults are injected for real."""

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest
from backups_support import owner_of_all
from in_memory import IN_MEMORY
from permits import delete, prune, restored
from sqlalchemy import URL

from ci_migrate.backups import STORAGES
from ci_migrate.backups import storage as storage_module
from ci_migrate.backups.catalog import Catalog, revision_words
from ci_migrate.backups.fetch import check_id, most_unpacked
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.storage import LocalStorage, manifest_text, open_storage
from ci_migrate.databases.sqlite.database import PAYLOAD, SQLite
from ci_migrate.errors import BackupError, CiMigrateError, RefusedError, SettingsError, UsageError
from ci_migrate.model import (
    Backup,
    BackupStatus,
    ColumnContent,
    Fingerprint,
    Identity,
    RowCount,
    TableContent,
    VersionTable,
)
from ci_migrate.operations.backups import complete

VERSIONS = [VersionTable()]


def fill(path: Path, megabytes: float = 0) -> SQLite:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('3f2a')")
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, data)")
        rows = int(megabytes * 1000) or 2
        connection.executemany(
            "INSERT INTO users (data) VALUES (?)", ((os.urandom(1000),) for _ in range(rows))
        )
        connection.commit()
    return SQLite(URL.create("sqlite", database=str(path)))


@pytest.fixture
def database(tmp_path: Path) -> SQLite:
    return fill(tmp_path / "app.db")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(LocalStorage(tmp_path / "backups"))


def create(catalog: Catalog, database: SQLite, **options) -> Backup:
    given = {"target": "dev", "version_tables": VERSIONS, "migration_version": "head", **options}
    return catalog.create(database, **given)


def folders(catalog: Catalog) -> list[str]:
    return sorted(p.name for p in Path(catalog.storage.place).iterdir() if p.name != ".gitignore")


def age(path: Path, seconds: float = 3600) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


# ------------------------------------------------------------------ create


def test_a_backup_is_a_folder_with_a_manifest(catalog: Catalog, database: SQLite) -> None:
    seen = []
    backup = create(catalog, database, progress=lambda done, total: seen.append((done, total)))
    folder = Path(backup.backup_path)
    assert folder.parent == Path(catalog.storage.place)
    assert backup.backup_id == f"backup_3f2a_{backup.backup_time:%Y%m%d_%H%M%S}" == folder.name
    assert sorted(p.name for p in folder.iterdir()) == [PAYLOAD, "manifest.json"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
    assert (folder.parent / ".gitignore").read_text() == "*\n"
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert (backup.revision, backup.heads, backup.migration_version) == ("3f2a", (("3f2a",),), "head")
    assert (backup.target, backup.sequence, backup.description) == ("dev", 1, "2 tables")
    assert backup.row_counts["users"] == RowCount(rows=2)
    assert backup.identity == database.identity()
    assert backup.backup_size == sum(f.size for f in backup.files) == (folder / PAYLOAD).stat().st_size
    assert abs((datetime.now(UTC) - backup.backup_time).total_seconds()) < 60
    assert seen
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["backupId"] == backup.backup_id
    assert manifest["status"] == "SUCCESS"
    assert catalog.get(backup.backup_id) == backup
    assert catalog.list() == catalog.list(owner_of_all(catalog)) == [backup]
    assert catalog.list(Owner("dev", frozenset(("sqlite:/elsewhere.db",)))) == []
    catalog.verify(backup)


def test_the_manifest_says_how_to_restore_without_ci_migrate(catalog: Catalog, database: SQLite) -> None:
    assert f"zstd -d {PAYLOAD}" in create(catalog, database).how_to_restore


def test_a_gitignore_is_never_put_into_a_folder_with_other_things(catalog: Catalog, database: SQLite) -> None:
    folder = Path(catalog.storage.place)
    folder.mkdir()
    (folder / "mine.txt").write_text("x")
    create(catalog, database)
    assert not (folder / ".gitignore").exists()


def test_a_database_that_does_not_exist_yet(catalog: Catalog, tmp_path: Path) -> None:
    backup = create(catalog, SQLite(URL.create("sqlite", database=str(tmp_path / "none.db"))))
    assert backup.backup_id.startswith("backup_base_")
    assert (backup.revision, backup.tables, backup.description) == ("base", (), "0 tables")
    catalog.verify(backup)


def test_the_name_is_made_of_all_heads_and_stays_short(catalog: Catalog, database: SQLite) -> None:
    with closing(sqlite3.connect(database.file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'b/../é b'")
        connection.execute("INSERT INTO alembic_version VALUES ('a1')")
        connection.commit()
    backup = create(catalog, database)
    assert backup.backup_id.startswith("backup_a1+b_..___b_20")
    assert check_id(backup.backup_id) == backup.backup_id
    assert backup.revision == "a1+b/../é b"
    with closing(sqlite3.connect(database.file)) as connection:
        connection.executemany("INSERT INTO alembic_version VALUES (?)", [(f"{i:032x}",) for i in range(20)])
        connection.commit()
    backup = create(catalog, database)
    assert len(backup.backup_id) <= 120
    assert len(backup.heads[0]) == 22
    assert catalog.get(backup.backup_id) == backup


def test_revision_words() -> None:
    assert revision_words(()) == revision_words(((), ())) == "base"
    assert revision_words((("b", "a"), ("a",))) == "a+b"


def test_B20_ids_of_the_same_second_differ(catalog: Catalog, database: SQLite) -> None:
    backups = [create(catalog, database) for _ in range(4)]
    assert len({b.backup_id for b in backups}) == 4
    assert [b.sequence for b in backups] == [1, 2, 3, 4]
    assert catalog.list() == backups


def _create_in_process(folder: str, file: str, barrier, results) -> None:
    barrier.wait()
    backup = create(Catalog(LocalStorage(Path(folder))), SQLite(URL.create("sqlite", database=file)))
    results.put(backup.backup_id)


def test_B20_two_processes_at_once(catalog: Catalog, database: SQLite) -> None:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (catalog.storage.place, str(database.file), barrier, results)
    processes = [context.Process(target=_create_in_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    ids = {results.get(timeout=30) for _ in processes}
    for process in processes:
        process.join()
    assert len(ids) == 4
    for backup in catalog.list():
        catalog.verify(backup)
    assert {b.backup_id for b in catalog.list()} == ids


# ------------------------------------------------------------------ no room


@pytest.fixture
def small(tmp_path: Path):
    """A file system of 2 MB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting needs rights that this user does not have")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_B1_a_full_disk_is_seen_before(small: Path, tmp_path: Path) -> None:
    database, catalog = fill(tmp_path / "app.db", megabytes=4), Catalog(LocalStorage(small / "backups"))
    with pytest.raises(BackupError, match=rf"about {database.size()} bytes needed, \d+ bytes free"):
        create(catalog, database)
    assert catalog.list() == []


@pytest.mark.parametrize("megabytes", [1.2, 1.9])
def test_B1_a_disk_that_fills_up_in_the_middle(small: Path, tmp_path: Path, megabytes: float) -> None:
    database, catalog = (
        fill(tmp_path / "app.db", megabytes=megabytes),
        Catalog(LocalStorage(small / "backups")),
    )
    with pytest.raises(CiMigrateError, match=r"bytes needed, \d+ bytes free"):
        create(catalog, database)
    assert catalog.list() == []
    assert folders(catalog) == []
    fine = fill(tmp_path / "fine.db")
    catalog.verify(create(catalog, fine))


def test_B2_no_room_for_the_manifest(catalog: Catalog, small: Path, tmp_path: Path) -> None:
    database = fill(tmp_path / "app.db", megabytes=0.5)
    full = Catalog(LocalStorage(small / "backups"))
    real = database.dump

    def dump_then_fill(into, tables, progress):
        told = real(into, tables, progress)
        with pytest.raises(OSError, match="No space"), (small / "filler").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        return told

    database.dump = dump_then_fill
    with pytest.raises(BackupError, match=r"No space.*bytes needed"):
        create(full, database)
    assert full.list() == []
    assert folders(full) == []


def test_B3_a_limit_on_the_size_of_files(catalog: Catalog, tmp_path: Path) -> None:
    database = fill(tmp_path / "app.db", megabytes=2)
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from sqlalchemy import URL\n"
        "from ci_migrate.backups.catalog import Catalog\n"
        "from ci_migrate.backups.storage import LocalStorage\n"
        "from ci_migrate.databases.sqlite.database import SQLite\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "database = SQLite(URL.create('sqlite', database=sys.argv[2]))\n"
        "try: Catalog(LocalStorage(Path(sys.argv[1]))).create(database, target='t', version_tables=[], migration_version='x')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, catalog.storage.place, str(database.file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(("BackupError", "DatabaseError")), done.stdout
    assert catalog.list() == []
    assert folders(catalog) == []


# ------------------------------------------------------------------ killed, or failing


CHILD = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import URL
from ci_migrate.backups import storage
from ci_migrate.backups.catalog import Catalog
from ci_migrate.databases.sqlite.database import SQLite
database = SQLite(URL.create('sqlite', database=sys.argv[2]))
catalog = Catalog(storage.LocalStorage(Path(sys.argv[1])))
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
where = sys.argv[3]
real_rename, real_flush = Path.rename, storage._flush
if where == 'dumping': database.dump = die
if where == 'before the rename': Path.rename = die
if where == 'after the rename': Path.rename = lambda *a: (real_rename(*a), die())
if where == 'after the flush':
    def flush(folder):
        real_flush(folder)
        if str(folder) == catalog.storage.place: die()
    storage._flush = flush
catalog.create(database, target='t', version_tables=[], migration_version='x')
"""


@pytest.mark.parametrize(
    ("where", "complete"),
    [("dumping", 0), ("before the rename", 0), ("after the rename", 1), ("after the flush", 1)],
)
def test_B5_killed_at_any_moment(catalog: Catalog, database: SQLite, where: str, complete: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, catalog.storage.place, str(database.file), where], check=False
    )
    assert done.returncode == -signal.SIGKILL
    whole = [b for b in catalog.list() if b.status is BackupStatus.SUCCESS]
    assert len(whole) == complete
    for backup in whole:
        catalog.verify(backup)
    for backup in (b for b in catalog.list() if b.status is BackupStatus.FAILED):
        assert backup.description == "half-written"
        with pytest.raises(BackupError, match="not complete"):
            catalog.verify(backup)
        age(Path(backup.backup_path))
    create(catalog, database)
    assert [b.status for b in catalog.list()] == [BackupStatus.SUCCESS] * (complete + 1)
    assert len(folders(catalog)) == complete + 1


def test_B4_a_flush_that_fails_is_no_backup(catalog: Catalog, database: SQLite) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fsync",
        "-e",
        "inject=fsync:error=EIO:when=2+",
    ]
    done = subprocess.run(
        [*trace, sys.executable, "-c", CHILD, catalog.storage.place, str(database.file), ""],
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in done.stderr:
        pytest.skip("tracing is not allowed here")
    assert "Input/output error" in done.stderr
    assert done.returncode == 1
    assert catalog.list() == []
    assert folders(catalog) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(143), OSError(5, "I/O error")]
)
def test_an_exception_leaves_nothing(catalog: Catalog, database: SQLite, error: BaseException) -> None:
    def dump(into: Path, *_):
        (into / "half").write_text("x")
        raise error

    database.dump = dump
    with pytest.raises(BackupError if isinstance(error, OSError) else type(error)):
        create(catalog, database)
    assert folders(catalog) == []


def test_a_revision_that_changes_meanwhile_is_noticed(catalog: Catalog, database: SQLite) -> None:
    real = database.dump

    def dump(*arguments):
        with closing(sqlite3.connect(database.file)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'new'")
            connection.commit()
        return real(*arguments)

    database.dump = dump
    with pytest.raises(BackupError, match="3f2a is now new"):
        create(catalog, database)
    assert folders(catalog) == []


def test_R5_a_backup_in_progress_is_never_removed(catalog: Catalog, database: SQLite) -> None:
    backup_id = "backup_x_20200101_000000"
    with catalog.storage.writing(backup_id) as folder:
        (folder / "part").write_text("x")
        age(folder)
        other = Catalog(LocalStorage(Path(catalog.storage.place)))
        assert [(b.status, b.description) for b in other.list()] == [(BackupStatus.FAILED, "being written")]
        assert other.sweep() == []
        with pytest.raises(BackupError, match="being written"):
            delete(other, backup_id)
        create(other, database)
        assert (folder / "part").exists()


def test_a_young_folder_is_not_swept(catalog: Catalog) -> None:
    folder = Path(catalog.storage.place) / "backup_x_20200101_000000"
    folder.mkdir(parents=True)
    assert catalog.sweep() == []
    age(folder)
    assert catalog.sweep() == [folder.name]
    assert not folder.exists()


def test_a_sweep_leaves_alone_what_is_no_backup_of_ours(catalog: Catalog, database: SQLite) -> None:
    place = Path(catalog.storage.place)
    (place / "src").mkdir(parents=True)
    backup = create(catalog, database)
    (Path(backup.backup_path) / "manifest.json").unlink()
    for folder in (place / "src", Path(backup.backup_path)):
        age(folder)
    assert catalog.sweep() == []
    assert (place / "src").is_dir()
    assert (Path(backup.backup_path) / PAYLOAD).exists()


# ------------------------------------------------------------------ list and verify


def test_V1_one_flipped_byte_is_named(catalog: Catalog, database: SQLite) -> None:
    backup = create(catalog, database)
    payload = Path(backup.backup_path) / PAYLOAD
    data = bytearray(payload.read_bytes())
    data[-1] ^= 1
    payload.write_bytes(data)
    with pytest.raises(BackupError, match=f"{PAYLOAD} has another checksum"):
        catalog.verify(backup)


def test_V2_a_short_file_is_named(catalog: Catalog, database: SQLite) -> None:
    backup = create(catalog, database)
    os.truncate(Path(backup.backup_path) / PAYLOAD, backup.files[0].size - 1)
    with pytest.raises(BackupError, match=f"{PAYLOAD} has {backup.files[0].size - 1} bytes"):
        catalog.verify(backup)


def test_a_missing_and_a_foreign_file_are_named(catalog: Catalog, database: SQLite) -> None:
    backup = create(catalog, database)
    extra = Path(backup.backup_path) / "extra"
    extra.write_text("x")
    with pytest.raises(BackupError, match="extra is not in its manifest"):
        catalog.verify(backup)
    extra.unlink()
    catalog.verify(backup)
    (Path(backup.backup_path) / PAYLOAD).unlink()
    with pytest.raises(BackupError, match=f"{PAYLOAD} is missing"):
        catalog.verify(backup)


def test_a_manifest_that_names_a_file_elsewhere_is_refused(
    catalog: Catalog, database: SQLite, tmp_path: Path
) -> None:
    backup = create(catalog, database)
    (tmp_path / "secret").write_bytes(b"x")
    for path in ("../../secret", str(tmp_path / "secret")):
        file = msgspec.structs.replace(backup.files[0], path=path, size=1)
        with pytest.raises(BackupError, match=r"leads out of it|not in its manifest"):
            catalog.verify(msgspec.structs.replace(backup, files=(*backup.files, file)))
    with pytest.raises(BackupError, match=r"names no file|not in its manifest"):
        catalog.verify(msgspec.structs.replace(backup, files=()))


def test_a_payload_behind_a_link_is_refused(catalog: Catalog, database: SQLite, tmp_path: Path) -> None:
    backup = create(catalog, database)
    payload = Path(backup.backup_path) / PAYLOAD
    payload.rename(tmp_path / "moved")
    payload.symlink_to(tmp_path / "moved")
    with pytest.raises(BackupError, match=PAYLOAD):
        catalog.verify(backup)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: b"{", "damaged"),
        (lambda m: b"", "damaged"),
        (lambda m: m.replace(b'"format": 1', b'"format": 2'), "format 2"),
        (
            lambda m: m.replace(b'"backupId": "backup_3f2a', b'"backupId": "backup_0000'),
            "is that of backup_0000",
        ),
    ],
)
def test_a_manifest_that_makes_no_sense_is_no_backup(
    catalog: Catalog, database: SQLite, change, why: str
) -> None:
    manifest = Path(create(catalog, database).backup_path) / "manifest.json"
    before = manifest.read_bytes()
    manifest.write_bytes(change(before))
    assert manifest.read_bytes() != before
    (found,) = catalog.list()
    assert found.status is BackupStatus.UNREADABLE
    assert why in found.description
    assert catalog.sweep() == []
    delete(catalog, found.backup_id)
    assert catalog.list() == []


def test_a_store_that_was_moved_is_read_where_it_is(
    catalog: Catalog, database: SQLite, tmp_path: Path
) -> None:
    backup = create(catalog, database)
    Path(catalog.storage.place).rename(tmp_path / "moved")
    moved = Catalog(LocalStorage(tmp_path / "moved"))
    assert moved.list()[0].backup_path == str(tmp_path / "moved" / backup.backup_id)
    moved.verify(moved.get(backup.backup_id))


def test_other_things_in_the_folder_are_not_listed(catalog: Catalog, database: SQLite) -> None:
    backup = create(catalog, database)
    place = Path(catalog.storage.place)
    (place / "notes").mkdir()
    (place / "backup_x_20200101_000000.txt").write_text("x")
    assert catalog.list() == [backup]


@pytest.mark.parametrize(
    "backup_id",
    ["", "../../etc", "/etc/passwd", "backup_a_20200101_000000\0", "-rf", "backup_" + "a" * 300 + "_20200101_000000",
     "backup_\u0430_20200101_000000", "backup_\uff41_20200101_000000", "backup_a_\uff120200101_000000", "backup_a_20200101_000000\n",
     "backup_a/../b_20200101_000000", "..", ".", "backup__20200101_000000", "manifest.json"],
)  # fmt: skip
def test_V7_ids_are_looked_at_before_any_path_is_built(catalog: Catalog, backup_id: str) -> None:
    for act in (check_id, catalog.get, partial(delete, catalog)):
        with pytest.raises(UsageError, match="no backup id"):
            act(backup_id)


def test_an_id_that_is_not_there(catalog: Catalog) -> None:
    with pytest.raises(UsageError, match="There is no backup"):
        catalog.get("backup_a_20200101_000000")


# ------------------------------------------------------------------ delete and prune


def test_delete(catalog: Catalog, database: SQLite) -> None:
    one, two = create(catalog, database), create(catalog, database)
    delete(catalog, one.backup_id)
    assert catalog.list() == [two]
    assert folders(catalog) == [two.backup_id]
    assert create(catalog, database).sequence == 3


def test_R7_killed_while_deleting(catalog: Catalog, database: SQLite) -> None:
    backup, other = create(catalog, database), create(catalog, database)
    script = (
        "import os, shutil, signal, sys\n"
        "from pathlib import Path\n"
        "from ci_migrate.backups.storage import LocalStorage\n"
        "shutil.rmtree = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "LocalStorage(Path(sys.argv[1])).delete(sys.argv[2])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, catalog.storage.place, backup.backup_id], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert catalog.list() == [other]
    assert len(folders(catalog)) == 2
    assert catalog.sweep() == [backup.backup_id]
    assert folders(catalog) == [other.backup_id]


@pytest.mark.parametrize("keep", [0, -1, -(2**70)])
def test_R1_an_empty_policy_is_refused(catalog: Catalog, database: SQLite, keep: int) -> None:
    create(catalog, database)
    with pytest.raises(UsageError, match="every backup"):
        prune(catalog, keep, owner_of_all(catalog), dry=False)
    assert len(catalog.list()) == 1
    assert prune(catalog, 2**70, owner_of_all(catalog), dry=False) == []


@pytest.fixture
def history(catalog: Catalog, database: SQLite) -> list[Backup]:
    """Five migrations of one target."""
    return [create(catalog, database, migration_version=f"v{number}") for number in range(5)]


def test_prune_keeps_the_last(catalog: Catalog, history: list[Backup]) -> None:
    assert prune(catalog, 3, owner_of_all(catalog), dry=True) == history[:2]
    assert catalog.list() == history
    assert prune(catalog, 3, owner_of_all(catalog), dry=False) == history[:2]
    assert catalog.list() == history[2:]
    assert prune(catalog, 3, owner_of_all(catalog), dry=False) == []


def test_R2_what_is_not_complete_does_not_count(catalog: Catalog, history: list[Backup]) -> None:
    os.truncate(Path(history[4].backup_path) / PAYLOAD, 5)
    (Path(history[3].backup_path) / "manifest.json").unlink()
    assert prune(catalog, 2, owner_of_all(catalog), dry=False) == history[:1]
    assert {b.backup_id for b in catalog.list()} == {b.backup_id for b in history[1:]}


def test_R6_protected_and_proven_backups_stay(catalog: Catalog, history: list[Backup]) -> None:
    ids = [b.backup_id for b in history]
    gone = prune(catalog, 1, owner_of_all(catalog), protected=[ids[0]], proven=[ids[1], ids[2]], dry=False)
    assert gone == [history[1], history[3]]


def test_R9_the_policy_is_per_database(
    catalog: Catalog, history: list[Backup], database: SQLite, tmp_path: Path
) -> None:
    owner = Owner("dev", frozenset((database.identity().key,)))
    other = fill(tmp_path / "other.db")
    others = [create(catalog, other, migration_version=f"v{n}") for n in range(2)]
    assert [b.sequence for b in others] == [1, 2]
    assert [b.catalog_sequence for b in others] == [6, 7]
    assert catalog.list(owner) == history
    assert prune(catalog, 1, owner, dry=False) == history[:4]
    assert catalog.list() == [history[4], *others]


def test_F5_a_target_that_is_renamed_keeps_its_backups(
    catalog: Catalog, history: list[Backup], database: SQLite
) -> None:
    renamed = create(catalog, database, target="production", migration_version="v6")
    owner = Owner("production", frozenset((database.identity().key,)))
    assert renamed.sequence == 6
    assert catalog.list(owner) == [*history, renamed]
    assert prune(catalog, 2, owner, dry=False) == history[:4]


def rewrite(backup: Backup, **changes: object) -> None:
    """As another version, or another tool, would have written its manifest."""
    manifest = Path(backup.backup_path, "manifest.json")
    document = {**json.loads(manifest.read_text()), **changes}
    manifest.write_text(json.dumps({name: value for name, value in document.items() if value is not None}))


def test_F5_a_manifest_without_identity_goes_by_the_name(
    catalog: Catalog, history: list[Backup], database: SQLite
) -> None:
    for backup in history[:2]:
        rewrite(backup, identity=None, catalogSequence=None)
    key = frozenset((database.identity().key,))
    assert len(catalog.list(Owner("dev", key))) == 5
    assert catalog.list(Owner("production", key)) == history[2:]
    assert [b.backup_id for b in prune(catalog, 3, Owner("dev", key), dry=False)] == [
        b.backup_id for b in history[:2]
    ]


def test_F5_a_restore_by_a_rename_keeps_backups_that_nobody_wrote_down_out_of_prune(
    catalog: Catalog, history: list[Backup]
) -> None:
    facts = {"system_identifier": "7", "host": "db", "port": "5432", "database": "app"}
    for backup, oid in zip(history, ("1", "1", "2", "2", "3"), strict=True):
        identity = {"dialect": "postgresql", "place": "db:5432/app", "facts": {**facts, "oid": oid}}
        rewrite(backup, identity=identity)
    now = Identity(dialect="postgresql", place="", facts={**facts, "oid": "3"})
    owner = Owner("app", frozenset((now.key, "postgresql:7/2")), name_key=now.name_key)
    assert [owner.owns(b) for b in catalog.list()] == [False, False, True, True, True]
    assert all(owner.may_own(b) for b in catalog.list())
    assert [b.backup_id for b in prune(catalog, 1, owner, dry=False)] == [b.backup_id for b in history[2:4]]


def test_F106_a_clock_that_is_put_back_does_not_make_new_backups_old(
    catalog: Catalog, database: SQLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = datetime.now(UTC)
    clocks = iter([real, real - timedelta(hours=2), real + timedelta(days=3), real - timedelta(days=1)])
    monkeypatch.setattr("ci_migrate.backups.catalog.now", lambda: moment)
    backups = []
    for number, moment in enumerate(clocks):  # noqa: B007 - the clock reads it
        backups.append(create(catalog, database, migration_version=f"v{number}"))
    ids = [b.backup_id for b in backups]
    assert [b.backup_id for b in catalog.list()] == ids
    gone = prune(catalog, 1, owner_of_all(catalog), proven=ids[:2], dry=False)
    assert [b.backup_id for b in gone] == [ids[0], ids[2]], "the newest, and the newest that is proven, stay"


def test_retries_of_one_migration_count_once(catalog: Catalog, database: SQLite) -> None:
    backups = [create(catalog, database, migration_version=v) for v in ("v1", "v2", "v3", "v3", "v3")]
    assert prune(catalog, 2, owner_of_all(catalog), dry=True) == backups[:1]
    assert prune(catalog, 1, owner_of_all(catalog), dry=False) == backups[:2]


def test_R11_what_can_not_be_removed_is_named_and_the_rest_stays_listed(
    catalog: Catalog, history: list[Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if self.name == history[1].backup_id:
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(BackupError, match=f"{history[1].backup_id} could not be removed: Permission denied"):
        prune(catalog, 2, owner_of_all(catalog), dry=False)
    assert catalog.list() == history[1:]
    monkeypatch.undo()
    assert prune(catalog, 2, owner_of_all(catalog), dry=False) == history[1:3]


# ------------------------------------------------------------------ where they are kept


def test_open_storage(tmp_path: Path) -> None:
    assert open_storage("./backups", tmp_path, STORAGES).place == str(tmp_path / "backups")
    assert open_storage(str(tmp_path / "b"), Path("/"), STORAGES).place == str(tmp_path / "b")
    assert open_storage(f"file://{tmp_path}/my%20b", Path("/"), STORAGES).place == f"{tmp_path}/my b"
    with pytest.raises(SettingsError) as caught:
        open_storage("s3://KEY:SECRET@bucket/prefix", tmp_path, STORAGES)
    assert "s3" in caught.value.what
    assert "SECRET" not in " ".join(caught.value.lines)


def test_a_file_in_the_place_of_the_folder(database: SQLite, tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("x")
    with pytest.raises(CiMigrateError, match="backups"):
        create(Catalog(LocalStorage(tmp_path / "backups")), database)


def test_the_age_that_protects_a_folder_is_short() -> None:
    assert timedelta(seconds=storage_module._YOUNG) <= timedelta(minutes=5)


# --------------------------------------------------------------------------- manifests of somebody else


@pytest.mark.parametrize(
    "changes",
    [
        {"backupTime": "2026-01-31T23:59:59"},
        {"backupTime": "9999-12-31T23:59:59-23:59"},
        {"backupSize": -1},
        {"catalogSequence": 10**30},
        {"sequence": -5},
    ],
)
def test_F31_a_manifest_with_values_that_nobody_writes_is_damaged(
    catalog: Catalog, database: SQLite, changes: dict[str, object]
) -> None:
    """A time without a zone can't be sorted among others."""
    good, hostile = create(catalog, database), create(catalog, database)
    file = Path(hostile.backup_path) / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    listed = {b.backup_id: b.status for b in catalog.list()}
    assert listed == {good.backup_id: BackupStatus.SUCCESS, hostile.backup_id: BackupStatus.UNREADABLE}
    create(catalog, database)


def test_F31_the_last_number_is_not_the_end(catalog: Catalog, database: SQLite) -> None:
    rewrite(create(catalog, database), catalogSequence=2**62, sequence=2**62)
    assert create(catalog, database).status is BackupStatus.SUCCESS
    assert [b.status for b in catalog.list()] == [BackupStatus.SUCCESS] * 2


def test_F31_a_time_in_another_zone_is_told_in_utc(catalog: Catalog, database: SQLite) -> None:
    rewrite(create(catalog, database), backupTime="2026-01-31T23:59:59+02:00")
    assert f"{catalog.list()[0].backup_time:%H:%M}" == "21:59"


def test_F31_a_manifest_that_is_nested_without_end_or_huge_or_no_file(
    catalog: Catalog, database: SQLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = create(catalog, database)
    file = Path(backup.backup_path) / "manifest.json"
    whole = file.read_bytes()
    file.write_bytes(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b"," + whole[1:])
    assert catalog.list()[0].description == "its manifest is damaged"
    monkeypatch.setattr(storage_module, "MANIFEST_LIMIT", len(whole) - 1)
    file.write_bytes(whole)
    assert f"it has {len(whole)} bytes, more than {len(whole) - 1}" in catalog.list()[0].description
    file.unlink()
    os.mkfifo(file)
    assert "no plain file" in catalog.list()[0].description


def test_F111_a_manifest_of_a_gigabyte_takes_no_memory(catalog: Catalog, database: SQLite) -> None:
    backup = create(catalog, database)
    os.truncate(Path(backup.backup_path) / "manifest.json", 1 << 30)
    tracemalloc.start()
    try:
        (found,) = catalog.list()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.status is BackupStatus.UNREADABLE
    assert f"it has {1 << 30} bytes, more than {storage_module.MANIFEST_LIMIT}" in found.description
    assert peak < 10_000_000


def test_F111_a_manifest_that_could_not_be_read_again_is_not_written(
    catalog: Catalog, database: SQLite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "MANIFEST_LIMIT", 500)
    with pytest.raises(BackupError, match=r"The manifest of 2 tables has [0-9,]+ bytes, more than 500"):
        create(catalog, database)
    assert catalog.list() == []


def test_F111_twenty_thousand_tables_of_twenty_columns_have_a_manifest(
    catalog: Catalog, database: SQLite
) -> None:
    column = ColumnContent(values=1, digest="0" * 32)
    content = TableContent(rows=1, digest="0" * 32, columns={f"a_column_{n}": column for n in range(20)})
    names = [f"public.a_table_with_a_long_name_{n}" for n in range(20_000)]
    keys = [f"{kind} {name}{part}" for name in names for kind, part in (
        ("table", ""), ("owner table", ""), *(("column", f".a_column_{n}") for n in range(20)),
        *(("constraint", f".a_table_with_a_long_name_{n}_key") for n in range(4)), *(("index", f"_{n}") for n in range(3)),
    )]  # fmt: skip
    huge = msgspec.structs.replace(
        create(catalog, database),
        tables=tuple(names),
        row_counts=dict.fromkeys(names, RowCount(rows=1)),
        contents=dict.fromkeys(names, content),
        fingerprint=Fingerprint(objects=dict.fromkeys(keys, "0" * 16)),
    )
    text = manifest_text(huge)
    assert len(text) > 90_000_000
    (Path(huge.backup_path) / "manifest.json").write_bytes(text)
    assert catalog.get(huge.backup_id) == huge


def test_F31_what_unpacks_to_more_than_the_manifest_names_is_refused_where_it_is_unpacked(
    catalog: Catalog, database: SQLite, tmp_path: Path
) -> None:
    """300 MB of zeros in ten kilobytes, with the checksums of a good backup."""
    from ci_migrate.databases.compression import compressing

    backup = create(catalog, database)
    with with_payload(backup) as bomb, compressing(bomb) as file:
        for _ in range(300):
            file.write(bytes(1 << 20))
    doctored = catalog.get(backup.backup_id)
    before = database.contents(["users"])
    with pytest.raises(BackupError, match="unpacks to more than"):
        restored(database, doctored, catalog)
    assert database.contents(["users"]) == before
    copy = SQLite(URL.create("sqlite", database=str(tmp_path / "copy" / "copy.db")))
    with catalog.reading(doctored) as payload, pytest.raises(BackupError, match="unpacks to more than"):
        copy.load(payload, most=most_unpacked(doctored))
    assert list((tmp_path / "copy").iterdir()) == []


def test_F31_reading_a_backup_unpacks_nothing(catalog: Catalog, database: SQLite) -> None:
    """What is unpacked before the restore would be unpacked twice: 3 s a gigabyte."""
    backup = create(catalog, database)
    with with_payload(backup) as path:
        path.write_bytes(b"no zstd")
    with catalog.reading(catalog.get(backup.backup_id)) as payload:
        assert (payload / PAYLOAD).read_bytes() == b"no zstd"


@pytest.mark.parametrize(("most", "fits"), [(0, True), (-1, False)])
def test_F31_all_that_is_unpacked_counts_once(
    catalog: Catalog, database: SQLite, tmp_path: Path, most: int, fits: bool
) -> None:
    from ci_migrate.databases.compression import chunks

    backup = create(catalog, database)
    unpacked = sum(map(len, chunks(Path(backup.backup_path) / PAYLOAD)))
    copy = SQLite(URL.create("sqlite", database=str(tmp_path / "copy.db")))
    with (
        catalog.reading(backup) as payload,
        nullcontext() if fits else pytest.raises(BackupError, match="unpacks to more"),
    ):
        copy.load(payload, most=unpacked + most)


@contextmanager
def with_payload(backup: Backup) -> Iterator[Path]:
    """Where another payload may be written; then the manifest names that one."""
    from ci_migrate.backups.storage import sealed

    path = Path(backup.backup_path) / PAYLOAD
    path.unlink()
    yield path
    sealing = sealed(PAYLOAD, path)
    rewrite(
        backup,
        files=[{"path": PAYLOAD, "size": sealing.size, "sha256": sealing.sha256}],
        backupSize=sealing.size,
    )


def test_F34_a_folder_that_everybody_may_write_is_refused(
    catalog: Catalog, database: SQLite, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(BackupError, match="Everybody may write"):
        create(catalog, database)
    folder.chmod(0o1777)
    assert create(catalog, database)


@pytest.mark.skipif(
    os.geteuid() == 0, reason="root may do all; CI's containers run as root on a user's volume"
)
def test_F34_another_users_folder_is_refused(database: SQLite) -> None:
    with pytest.raises(BackupError, match="belongs to another user"):
        Catalog(LocalStorage(Path("/proc/1"))).storage._refuse_shared()


@contextmanager
def as_another_user() -> Iterator[None]:
    """What this process does meanwhile it may do as a user whose files these are not."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_catalog() -> Iterator[Catalog]:
    """In a folder that other users get to."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        Path(folder).chmod(0o755)
        yield Catalog(LocalStorage(Path(folder, "backups")))


def damage_by_rights(folder: Path) -> AbstractContextManager[None]:
    folder.parent.chmod(0o777)
    return as_another_user()


def damage_the_manifest(folder: Path) -> AbstractContextManager[None]:
    (folder / "manifest.json").write_text('{"format": 1, "backupId": ')
    return nullcontext()


def make_it_a_link(folder: Path) -> AbstractContextManager[None]:
    elsewhere = folder.parent.parent / "larger disk"
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    (elsewhere / "manifest.json").write_text("{")
    return nullcontext()


@pytest.mark.parametrize("damage", [damage_by_rights, damage_the_manifest, make_it_a_link])
def test_F107_what_cannot_be_read_is_told_kept_and_hinders_nobody(
    damage, open_catalog: Catalog, database: SQLite
) -> None:
    catalog = open_catalog
    backup = create(catalog, database)
    folder = Path(backup.backup_path)
    age(folder)
    with damage(folder):
        found = catalog.list()[0]
        assert found.status is BackupStatus.UNREADABLE
        with pytest.raises(RefusedError, match=r"It may be a sound backup") as refused:
            complete(found)
        assert "delete" not in refused.value.hint
        assert catalog.sweep() == []
        assert catalog.list_prunable(1, Owner("dev")) == []
        if damage is not damage_the_manifest:
            with pytest.raises(BackupError, match="could not be removed"):
                delete(catalog, backup.backup_id)
            assert catalog.list()[0].backup_id == backup.backup_id, "it is there as it was"
            assert catalog.sweep() == []
    folder.parent.chmod(0o755)
    another = create(catalog, database)
    assert another.status is BackupStatus.SUCCESS
    assert (folder / "manifest.json").exists()


def test_F107_remains_that_cannot_be_removed_hinder_nobody(open_catalog: Catalog, database: SQLite) -> None:
    catalog = open_catalog
    doomed = Path(create(catalog, database).backup_path)
    doomed.rename(doomed.with_name(f".deleted-{doomed.name}"))
    (doomed.parent / ".deleted-backup_r1_20260101_000000").symlink_to(database.file.parent)
    doomed.parent.chmod(0o777)
    with as_another_user():
        assert catalog.sweep() == ["backup_r1_20260101_000000"], "a link, and what it leads to stays"
    assert database.file.exists()
    assert catalog.sweep() == [doomed.name]

"""Estimates of size, time and room; a backup or scratch copy that can't fit does not begin."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.owner import Owner
from ci_migrate.backups.room import Estimate, refuse_scratch_without_room, room_for
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.model import Backup, BackupStatus, VersionTable


class Small(LocalStorage):
    """A folder on a disk with so much room."""

    left = 10**12

    def free(self) -> int | None:
        return self.left


@pytest.fixture
def database(tmp_path: Path) -> SQLite:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("CREATE TABLE t (data)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 1000)
        connection.commit()
    return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(Small(tmp_path / "backups"))


def create(catalog: Catalog, database, **options) -> Backup:
    return catalog.create(
        database, target="dev", version_tables=[VersionTable()], migration_version="head", **options
    )


def test_the_first_backup_is_taken_to_be_as_large_as_the_database(catalog, database):
    assert catalog.estimate(database, Owner("dev")) == Estimate(database.size(), database.size())


def test_later_ones_follow_the_last(catalog, database):
    backup = create(catalog, database)
    assert backup.database_size == database.size()
    told = catalog.estimate(database, Owner("dev"))
    assert told.stored == backup.backup_size < database.size() / 10
    assert told.needed >= database.size() + told.stored, "SQLite's dump copies first"
    assert told.seconds == pytest.approx(backup.seconds)
    assert catalog.estimate(database, Owner("other")).seconds is None
    create(catalog, database, tables=["t"])
    assert catalog.estimate(database, Owner("dev")) == told, "one of single tables tells nothing"


def test_an_engine_that_streams_needs_no_second_copy(catalog, database):
    class Streams(SQLite):
        capabilities = msgspec.structs.replace(SQLite.capabilities, dump_copies=False)

    backup = create(catalog, database)
    told = catalog.estimate(Streams(database.url), Owner("dev"))
    assert backup.backup_size < told.needed < database.size() / 10
    assert catalog.estimate(Streams(database.url), Owner("dev"), partial=True).needed == 0


def test_failed_and_old_ones_do_not_count(catalog, database):
    backup = create(catalog, database)
    earlier = [
        *[msgspec.structs.replace(backup, backup_size=10**9)] * 3,
        *[backup] * 3,
        msgspec.structs.replace(backup, status=BackupStatus.FAILED, backup_size=10**9),
        msgspec.structs.replace(backup, database_size=0, backup_size=10**9),
    ]
    from ci_migrate.backups.room import estimate

    assert estimate(database, earlier).stored == backup.backup_size


def test_B1_no_room_is_told_before_anything_is_written(catalog, database):
    create(catalog, database)
    catalog.storage.left = catalog.estimate(database, Owner("dev")).needed - 1
    with pytest.raises(
        BackupError,
        match=rf"about {catalog.storage.left + 1} bytes needed, {catalog.storage.left} bytes free",
    ):
        create(catalog, database)
    catalog.storage.left += 1
    create(catalog, database)
    assert len(catalog.list()) == 2


def test_B1_an_encrypted_backup_needs_room_in_the_temporary_folder(catalog, database, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    vast = Estimate(stored=1, needed=10**18)
    with (
        pytest.raises(BackupError, match=str(tmp_path)) as refused,
        room_for(vast, catalog.storage, encrypted=True),
    ):
        pytest.fail("it began")
    assert "TMPDIR" in refused.value.hint
    with room_for(Estimate(stored=1, needed=1), catalog.storage, encrypted=True):
        assert Encryption().recipients == ()


def test_B1_a_scratch_copy_that_can_not_fit_is_refused(database, tmp_path, postgresql_url):
    refuse_scratch_without_room(database, tmp_path, database.size())
    with pytest.raises(
        DatabaseError, match=rf"scratch copy in {tmp_path}: about {10**18} bytes needed, \d+ bytes free"
    ):
        refuse_scratch_without_room(database, tmp_path, 10**18)
    server = PostgreSQL(postgresql_url)
    place, free = server.scratch_room(tmp_path)
    assert os.path.isdir(place)  # noqa: PTH112
    assert free > 0
    with pytest.raises(DatabaseError, match="scratch copy"):
        refuse_scratch_without_room(server, tmp_path, 10**18)


def test_B1_where_the_room_is_not_known_nothing_is_refused(tmp_path):
    elsewhere = PostgreSQL(URL.create("postgresql", host="db.example.com", database="shop"))
    assert elsewhere.scratch_room(tmp_path) is None
    refuse_scratch_without_room(elsewhere, tmp_path, 10**18)


def test_backup_restore_and_verify_say_how_far_they_are(catalog, database, tmp_path):
    seen: list[tuple[int, int]] = []
    backup = create(catalog, database, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (database.size(), database.size())
    seen.clear()
    catalog.verify(backup, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (backup.backup_size, backup.backup_size)

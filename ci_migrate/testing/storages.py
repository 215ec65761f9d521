"""What every storage of backups must keep. Subclass `StorageConformance`, give it a storage, run pytest."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.copy import copy
from ci_migrate.backups.storage import LocalStorage, Storage
from ci_migrate.errors import BackupError
from ci_migrate.model import Backup, BackupFile

ID = "backup_3f2a_20260131_235959"
NEXT = "backup_3f2a_20260131_235959_2"
"""Begins with the other one's name: a listing by prefix may take the one for the other."""

FILES = {
    "database.sql.zst": bytes(range(256)) * 5,
    "empty": b"",
    "folder/toc.dat": b"\x00\xff\n\r\n",
    "folder/deeper/a b+c&d=e#f%41?'é.dat": b"named to be hard",
}


def manifest(backup_id: str, files: tuple[BackupFile, ...], path: str = "") -> Backup:
    """A manifest of these files."""
    size = sum(file.size for file in files)
    moment = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
    return Backup(backup_id=backup_id, backup_path=path, backup_time=moment, files=files, backup_size=size)


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Put files into a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def publish(storage: Storage, backup_id: str, files: dict[str, bytes] | None = None) -> Backup:
    """Store a complete backup."""
    with storage.writing(backup_id) as folder:
        write(folder, FILES if files is None else files)
        return storage.publish(backup_id, lambda found: manifest(backup_id, found, storage.path(backup_id)))


class StorageConformance:
    """Tests of one implementation. Override `opener`, `abandon` and `damage`; each test gets an empty place."""

    @pytest.fixture
    def opener(self) -> Callable[[], Storage]:
        """A function that opens the same, empty place each time, as one process after the other does."""
        raise NotImplementedError

    def abandon(self, storage: Storage, backup_id: str) -> None:
        """Leave a half-written backup in the place as a process that was killed an hour ago leaves it."""
        raise NotImplementedError

    def damage(self, storage: Storage, backup_id: str, name: str, data: bytes | None) -> None:
        """Replace a file of a stored backup behind the storage's back; None: remove it."""
        raise NotImplementedError

    @pytest.fixture
    def storage(self, opener: Callable[[], Storage]) -> Storage:
        """The storage under test."""
        return opener()

    def test_an_empty_place(self, storage: Storage) -> None:
        """Nothing is listed, nothing is swept, nothing raises."""
        assert storage.ids() == []
        assert storage.sweep() == []
        assert storage.manifest(ID) is None
        assert storage.sizes(ID) == {}
        assert not storage.busy(ID)
        assert storage.place
        assert storage.place in storage.path(ID)
        assert ID in storage.path(ID)
        free = storage.free()
        assert free is None or free > 0

    def test_round_trip(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """What was published is read again by another process, byte for byte."""
        backup = publish(storage, ID)
        other = opener()
        assert other.ids() == [ID]
        text = other.manifest(ID)
        assert text is not None
        assert msgspec.json.decode(text, type=Backup) == backup
        assert other.sizes(ID) == {name: len(data) for name, data in FILES.items()}
        assert {file.path for file in backup.files} == FILES.keys()
        assert {name: b"".join(other.read(ID, name)) for name in FILES} == FILES
        assert not other.busy(ID)
        assert other.sweep() == []

    def test_a_large_file(self, storage: Storage) -> None:
        """It is read in pieces, none of them as large as the file."""
        data = os.urandom(1 << 20) * 20
        publish(storage, ID, {"large": data, "small": b"x"})
        pieces = list(storage.read(ID, "large"))
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= 8 << 20
        assert storage.sizes(ID) == {"large": len(data), "small": 1}

    def test_a_file_that_is_not_there(self, storage: Storage) -> None:
        """It raises FileNotFoundError."""
        publish(storage, ID)
        with pytest.raises(FileNotFoundError):
            b"".join(storage.read(ID, "none"))

    def test_a_file_that_lies_here(self, storage: Storage) -> None:
        """Where a storage names a folder, the files are in it."""
        publish(storage, ID)
        folder = storage.folder(ID)
        assert folder is None or all((folder / name).read_bytes() == data for name, data in FILES.items())

    def test_while_it_is_written(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """It is listed without a manifest, and nobody sweeps it."""
        other = opener()
        with storage.writing(ID) as folder:
            assert list(folder.iterdir()) == [] or storage.folder(ID) == folder
            write(folder, FILES)
            assert other.ids() == [ID]
            assert other.manifest(ID) is None
            assert other.busy(ID)
            assert other.sweep() == []

            def look(files: tuple[BackupFile, ...]) -> Backup:
                assert other.manifest(ID) is None, "the manifest is written last"
                return manifest(ID, files)

            storage.publish(ID, look)
        assert not other.busy(ID)
        assert other.manifest(ID) is not None

    @pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), SystemExit(143)])
    @pytest.mark.parametrize("when", ["writing", "publishing"])
    def test_an_exception_leaves_nothing(self, storage: Storage, when: str, error: BaseException) -> None:
        """Neither a backup nor a part of one stays, and the id is free again."""

        def fail(_files: tuple[BackupFile, ...]) -> Backup:
            raise error

        with pytest.raises(type(error)), storage.writing(ID) as folder:  # noqa: PT012
            write(folder, FILES)
            if when == "writing":
                raise error
            storage.publish(ID, fail)
        assert storage.ids() == []
        assert storage.sizes(ID) == {}
        publish(storage, ID)

    def test_an_id_is_given_once(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """Neither a backup that is written nor one that is there is ever written over."""
        other = opener()
        with storage.writing(ID) as folder:
            with pytest.raises(FileExistsError), other.writing(ID):
                pytest.fail("it was given twice")
            write(folder, FILES)
            backup = storage.publish(ID, lambda files: manifest(ID, files))
        with pytest.raises(FileExistsError), other.writing(ID):
            pytest.fail("it was given twice")
        Catalog(other).verify(backup)

    def test_an_id_is_given_once_in_a_race(self, opener: Callable[[], Storage]) -> None:
        """Of several that ask at once, one gets it."""
        storages = [opener() for _ in range(4)]
        with ExitStack() as stack, ThreadPoolExecutor(len(storages)) as pool:

            def take(storage: Storage) -> bool:
                try:
                    stack.enter_context(storage.writing(ID))
                except FileExistsError:
                    return False
                return True

            assert sum(pool.map(take, storages)) <= 1
        publish(storages[0], NEXT)

    def test_delete(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """It takes away that one, whole, and no other."""
        publish(storage, ID)
        other = publish(storage, NEXT)
        opener().delete(ID)
        assert storage.ids() == [NEXT]
        assert storage.manifest(ID) is None
        assert storage.sizes(ID) == {}
        Catalog(storage).verify(other)
        assert storage.sweep() == []
        publish(storage, ID)
        assert storage.ids() == [ID, NEXT]

    def test_what_a_dead_process_left(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """It is listed without a manifest, is not busy, and a sweep takes it away, and only it."""
        self.abandon(storage, ID)
        other = opener()
        complete = publish(other, NEXT)
        assert other.ids() == [ID, NEXT]
        assert other.manifest(ID) is None
        assert not other.busy(ID)
        assert other.sweep() == [ID]
        assert other.ids() == [NEXT]
        assert other.sizes(ID) == {}
        assert other.sweep() == []
        Catalog(other).verify(complete)

    def test_what_a_dead_process_left_can_be_deleted(self, storage: Storage) -> None:
        """By its id, without a sweep."""
        self.abandon(storage, ID)
        storage.delete(ID)
        assert storage.ids() == []

    def test_a_link_is_not_published(self, storage: Storage, tmp_path: Path) -> None:
        """It may lead to a secret."""
        (tmp_path / "secret").write_bytes(b"x")

        def write_link() -> None:
            with storage.writing(ID) as folder:
                (folder / "link").symlink_to(tmp_path / "secret")
                storage.publish(ID, lambda files: manifest(ID, files))

        with pytest.raises(BackupError):
            write_link()
        assert storage.ids() == []

    @pytest.mark.parametrize("change", ["flipped", "cut", "longer", "gone"])
    def test_damage_is_found(self, storage: Storage, change: str) -> None:
        """Nobody gets to read a backup of which a byte was changed."""
        backup = publish(storage, ID)
        name, data = "database.sql.zst", FILES["database.sql.zst"]
        changed = {"flipped": b"\xff" + data[1:], "cut": data[:-1], "longer": data + b"x", "gone": None}[
            change
        ]
        self.damage(storage, ID, name, changed)
        catalog = Catalog(storage)
        with pytest.raises(BackupError, match=name):
            catalog.verify(backup)
        with pytest.raises(BackupError, match=name), catalog.reading(backup):
            pytest.fail("it was given out")

    def test_a_claim_is_had_once(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """Of several owners one has it, for good; asking again changes nothing."""
        storages = [opener() for _ in range(4)]
        owners = [f"run {number}".encode() for number in range(len(storages))]
        with ThreadPoolExecutor(len(storages)) as pool:
            had = list(pool.map(lambda one, owner: one.claim("a0", owner), storages, owners))
        assert sum(had) == 1
        assert [one.claim("a0", owner) for one, owner in zip(storages, owners, strict=True)] == had
        assert storage.claim("a1", owners[0])
        assert storage.ids() == []
        assert storage.sweep() == []
        assert not storage.claim("a1", owners[1])

    def test_a_copy_arrives(self, storage: Storage, tmp_path: Path) -> None:
        """A backup that is copied to a folder and back is the same."""
        backup = publish(storage, ID)
        here, there = Catalog(storage), Catalog(LocalStorage(tmp_path / "copies"))
        copied = copy(backup, here, there)
        with there.reading(copied) as folder:
            assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        storage.delete(ID)
        assert copy(copied, there, here) == backup
        with here.reading(backup) as folder:
            assert {name: (folder / name).read_bytes() for name in FILES} == FILES

"""The storages that we ship keep what every storage must keep."""

import os
import time
from pathlib import Path

import pytest
import s3_support

from ci_migrate.backups.s3 import S3Storage
from ci_migrate.backups.storage import WRITING, LocalStorage
from ci_migrate.testing.memory import MemoryStorage, Shelf
from ci_migrate.testing.storages import StorageConformance


class TestMemory(StorageConformance):
    @pytest.fixture
    def opener(self):
        shelf = Shelf()
        return lambda: MemoryStorage(shelf)

    def abandon(self, storage, backup_id):
        storage.shelf.writing[backup_id] = None

    def damage(self, storage, backup_id, name, data):
        storage.shelf.backups[backup_id].pop(name)
        if data is not None:
            storage.shelf.backups[backup_id][name] = data


class TestLocal(StorageConformance):
    @pytest.fixture
    def opener(self, tmp_path: Path):
        return lambda: LocalStorage(tmp_path / "backups")

    def abandon(self, storage, backup_id):
        folder = Path(storage.path(backup_id))
        folder.mkdir(parents=True)
        (folder / WRITING).touch()
        (folder / "part").write_bytes(b"x")
        os.utime(folder, (time.time() - 3600,) * 2)

    def damage(self, storage, backup_id, name, data):
        path = Path(storage.path(backup_id), name)
        path.unlink() if data is None else path.write_bytes(data)


@pytest.fixture(scope="module")
def endpoint():
    with s3_support.s3_server() as endpoint:
        yield endpoint


class TestS3(StorageConformance):
    @pytest.fixture
    def opener(self, endpoint, monkeypatch: pytest.MonkeyPatch):
        s3_support.use(endpoint, monkeypatch)
        url = f"s3://{s3_support.new_bucket()}/some/prefix"
        return lambda: S3Storage(url)

    def abandon(self, storage, backup_id):
        client = s3_support.client()
        bucket, prefix = storage.place.removeprefix("s3://").split("/", 1)
        mark = f"{prefix}/.ci-migrate/writing/{backup_id}"
        client.put_object(Bucket=bucket, Key=mark, Body=b"dead")
        s3_support.age(bucket, mark)
        client.put_object(Bucket=bucket, Key=f"{prefix}/{backup_id}/part", Body=b"x")
        client.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{backup_id}/large")

    def damage(self, storage, backup_id, name, data):
        bucket, prefix = storage.place.removeprefix("s3://").split("/", 1)
        key = f"{prefix}/{backup_id}/{name}"
        if data is None:
            s3_support.client().delete_object(Bucket=bucket, Key=key)
        else:
            s3_support.client().put_object(Bucket=bucket, Key=key, Body=data)

"""Backups in a bucket, on a local server that speaks S3; faults are injected by a proxy, or by SIGKILL."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import s3_support
from backups_support import owner_of_all
from permits import delete, prune, restored
from s3_faults import CUT_ANSWER, CUT_REQUEST, proxy
from sqlalchemy import URL

from ci_migrate.backups import s3
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.copy import copy
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.sqlite.database import PAYLOAD, SQLite
from ci_migrate.errors import BackupError, ExitCode, RefusedError, SettingsError, UsageError
from ci_migrate.model import Backup, BackupStatus, VersionTable
from ci_migrate.testing.storages import ID, NEXT, manifest, publish


@pytest.fixture(scope="module")
def server():
    with s3_support.s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def faults(server: str, monkeypatch: pytest.MonkeyPatch):
    """The way to the server, where it can be disturbed."""
    with proxy(server) as between:
        s3_support.use(between.endpoint, monkeypatch)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
        yield between


@pytest.fixture
def bucket(faults) -> str:
    return s3_support.new_bucket()


@pytest.fixture
def storage(bucket: str) -> S3Storage:
    return S3Storage(f"s3://{bucket}/p")


@pytest.fixture
def catalog(storage: S3Storage) -> Catalog:
    return Catalog(storage)


@pytest.fixture
def database(tmp_path: Path) -> SQLite:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, data)")
        connection.execute("INSERT INTO users (data) VALUES ('x')")
        connection.commit()
    return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))


def create(catalog: Catalog, database: SQLite, version: str = "head") -> Backup:
    return catalog.create(database, target="dev", version_tables=[VersionTable()], migration_version=version)


def big(folder: Path, megabytes: int = 20) -> None:
    with (folder / "big").open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(1 << 20))


# ------------------------------------------------------------------ where


@pytest.mark.parametrize(
    "url",
    ["s3://AKIA:canary@bucket/prefix", "s3://canary@bucket", "s3://bucket/prefix?secret=canary", "s3://bucket/p#canary",
     "s3://AKIA:can/ary@bucket", "s3://", "s3://b", "s3://bucket//canary", "s3://bucket/../canary", "s3://bucket/%63anary",
     "s3://CANARY/x", "s3://bucket/canary\n"],
)  # fmt: skip
def test_S1_S2_a_url_with_more_in_it_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        S3Storage(url)
    assert "canary" not in " ".join(caught.value.lines).lower()
    assert "ary@" not in " ".join(caught.value.lines)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_bucket_without_a_prefix(bucket: str, end: str) -> None:
    storage = S3Storage(f"s3://{bucket}{end}")
    publish(storage, ID)
    assert storage.ids() == [ID]
    assert storage.path(ID) == f"s3://{bucket}/{ID}"
    assert f"{ID}/manifest.json" in s3_support.keys(bucket)


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingsError) as caught:
        S3Storage("s3://bucket")
    assert "ci-migrate[s3]" in caught.value.hint


def test_other_things_in_the_bucket_are_left_alone(storage: S3Storage, bucket: str) -> None:
    client = s3_support.client()
    foreign = ["p/mine/x", "p/x", "p/.ci-migrate/writing/mine", "p/.ci-migrate/deleted/mine", f"q/{ID}/x"]
    for key in foreign:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
        s3_support.age(bucket, key)
    assert storage.ids() == []
    assert storage.sweep() == []
    assert set(s3_support.keys(bucket)) == set(foreign)


def test_more_objects_than_one_page(storage: S3Storage, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real, pages = storage._call, []

    def call(operation: str, **arguments):
        if operation == "list_objects_v2":
            pages.append(arguments)
            arguments["MaxKeys"] = 2
        return real(operation, **arguments)

    monkeypatch.setattr(storage, "_call", call)
    files = {str(number): b"x" for number in range(7)}
    backup = publish(storage, ID, files)
    publish(storage, NEXT, {"a": b"x"})
    pages.clear()
    assert storage.sizes(ID) == dict.fromkeys(files, 1)
    assert len(pages) == 4
    assert storage.ids() == [ID, NEXT]
    Catalog(storage).verify(backup)
    storage.delete(ID)
    assert {key.split("/")[1] for key in s3_support.keys(bucket)} == {NEXT}


# ------------------------------------------------------------------ refused, unreachable


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, "NoSuchBucket"), "no such bucket"),
        ((403, "AccessDenied"), "access is denied"),
        ((403, "InvalidAccessKeyId"), "access key is not known"),
        ((403, "SignatureDoesNotMatch"), "secret key is wrong"),
        ((400, "ExpiredToken"), "have expired"),
        ((400, "AuthorizationHeaderMalformed"), "another region"),
        ((503, "SlowDown"), "too busy"),
        ((418, "Teapot"), "refused by Teapot"),
        (CUT_ANSWER, "not available"),
        (CUT_REQUEST, "connection was cut"),
    ],
)
def test_clear_words_for_what_the_server_says(
    catalog: Catalog, database: SQLite, faults, answer: tuple[int, str] | str, words: str
) -> None:
    faults.rule = lambda _method, _path: answer
    for attempt in (catalog.list, lambda: create(catalog, database)):
        with pytest.raises(BackupError, match=words) as caught:
            attempt()
        assert catalog.storage.place in caught.value.what
        assert caught.value.exit_code is ExitCode.COULD_NOT_TELL
        assert caught.value.hint
        assert s3_support.SECRET not in " ".join(caught.value.lines)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, faults) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{s3_support.SECRET.replace('/', '')}@127.0.0.1:9")
    with pytest.raises(BackupError, match="can't be reached") as caught:
        S3Storage("s3://bucket").ids()
    assert "canary" not in " ".join(caught.value.lines)


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, faults) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(BackupError, match="no credentials"):
        S3Storage("s3://bucket").ids()


def test_what_passes_is_tried_again(catalog: Catalog, database: SQLite, faults) -> None:
    seen: set[tuple[str, str]] = set()

    def each_once(method: str, path: str) -> tuple[int, str] | str | None:
        if (method, path) in seen:
            return None
        seen.add((method, path))
        return {"GET": CUT_ANSWER, "PUT": CUT_REQUEST}.get(method, (503, "SlowDown"))

    faults.rule = each_once
    backup = create(catalog, database)
    catalog.verify(backup)
    delete(catalog, backup.backup_id)
    assert catalog.list() == []


# ------------------------------------------------------------------ cut, killed


@pytest.mark.parametrize("fault", [CUT_REQUEST, (500, "InternalError"), (403, "AccessDenied")])
def test_B19_an_upload_that_breaks_off_leaves_nothing(
    storage: S3Storage, bucket: str, faults, fault: tuple[int, str] | str
) -> None:
    faults.rule = lambda method, path: fault if method == "PUT" and "partNumber=2" in path else None
    with pytest.raises(BackupError), storage.writing(ID) as folder:
        (folder / "a").write_bytes(b"whole")
        big(folder)
        storage.publish(ID, lambda files: manifest(ID, files))
    assert any("partNumber=2" in path for _, path in faults.seen)
    assert s3_support.keys(bucket) == []
    assert s3_support.uploads(bucket) == []
    faults.rule = lambda _method, _path: None
    publish(storage, ID)


def test_B19_a_manifest_that_can_not_be_written_is_no_backup(storage: S3Storage, bucket: str, faults) -> None:
    faults.rule = lambda method, path: (
        (403, "AccessDenied") if (method, "manifest" in path) == ("PUT", True) else None
    )
    with pytest.raises(BackupError, match="denied"):
        publish(storage, ID)
    assert s3_support.keys(bucket) == []


def test_B19_an_answer_that_is_lost_is_no_clash(storage: S3Storage, faults) -> None:
    lost: set[str] = set()

    def lose(method: str, path: str) -> str | None:
        if method != "PUT" or path in lost:
            return None
        lost.add(path)
        return CUT_ANSWER if "manifest" not in path else None

    faults.rule = lose
    backup = publish(storage, ID)
    assert len(lost) > 3
    Catalog(storage).verify(backup)


CHILD = """
import os, signal, sys
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.testing.storages import ID, manifest
storage = S3Storage(sys.argv[1])
if sys.argv[2] == "deleting":
    storage._abort = lambda backup_id: os.kill(os.getpid(), signal.SIGKILL)  # the manifest is gone by then
    storage.delete(ID)
with storage.writing(ID) as folder:
    (folder / "big").write_bytes(os.urandom(30 << 20))
    storage.publish(ID, lambda files: manifest(ID, files))
"""


def test_B19_killed_while_uploading(storage: S3Storage, bucket: str, faults) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, storage.place, "writing"])
    held = []

    def hold(method: str, path: str) -> None:
        if method == "PUT" and "partNumber=3" in path and not held:
            held.append(path)
            child.send_signal(signal.SIGKILL)
            child.wait()

    faults.rule = hold
    assert child.wait(60) == -signal.SIGKILL
    catalog = Catalog(storage)
    assert s3_support.uploads(bucket) == [f"p/{ID}/big"]
    assert [(b.status, b.description) for b in catalog.list()] == [(BackupStatus.FAILED, "being written")]
    assert catalog.sweep() == []
    s3_support.age(bucket, f"p/.ci-migrate/writing/{ID}")
    assert [b.description for b in catalog.list()] == ["half-written"]
    assert catalog.sweep() == [ID]
    assert s3_support.keys(bucket) == s3_support.uploads(bucket) == []


def test_R7_killed_while_deleting(storage: S3Storage, bucket: str) -> None:
    publish(storage, ID)
    done = subprocess.run([sys.executable, "-c", CHILD, storage.place, "deleting"], check=False)
    assert done.returncode == -signal.SIGKILL
    assert storage.ids() == []
    assert f"p/{ID}/empty" in s3_support.keys(bucket)
    with pytest.raises(FileExistsError), storage.writing(ID):
        pytest.fail("its id is free only when all of it is gone")
    assert storage.sweep() == [ID]
    assert s3_support.keys(bucket) == []


def test_R5_a_mark_is_renewed_while_somebody_writes(bucket: str) -> None:
    writer, other = S3Storage(f"s3://{bucket}/p", beat=0.1), S3Storage(f"s3://{bucket}/p")
    with writer.writing(ID):
        s3_support.age(bucket, f"p/.ci-migrate/writing/{ID}")
        deadline = time.monotonic() + 20
        while not other.busy(ID):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert other.sweep() == []


def test_a_writer_that_was_swept_publishes_nothing(storage: S3Storage, bucket: str) -> None:
    """Its machine was asleep, and another one swept it and took its id."""
    with storage.writing(ID) as folder:
        s3_support.age(bucket, f"p/.ci-migrate/writing/{ID}")
        other = S3Storage(storage.place)
        assert other.sweep() == [ID]
        publish(other, ID, {"other": b"1"})
        (folder / "mine").write_bytes(b"2")
        with pytest.raises(BackupError, match=r"swept|as it was sent"):
            storage.publish(ID, lambda files: manifest(ID, files))
    assert b'"other"' in (other.manifest(ID) or b"")


TWO = """
import sys
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.databases.sqlite.database import SQLite
from sqlalchemy import URL
catalog, database = Catalog(S3Storage(sys.argv[1])), SQLite(URL.create("sqlite", database=sys.argv[2]))
catalog.storage.ids(); print("ready", flush=True); sys.stdin.readline()
print(catalog.create(database, target="t", version_tables=[], migration_version="x").backup_id)
"""


def test_B20_two_processes_at_once(catalog: Catalog, database: SQLite) -> None:
    arguments = [sys.executable, "-c", TWO, catalog.storage.place, str(database.file)]
    both = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in "ab"
    ]
    for child in both:
        assert child.stdout.readline() == "ready\n"
    for child in both:
        child.stdin.write("\n")
        child.stdin.flush()
    ids = {child.communicate(timeout=60)[0].strip() for child in both}
    assert len(ids) == 2
    assert {b.backup_id for b in catalog.list()} == ids
    for backup in catalog.list():
        catalog.verify(backup)


# ------------------------------------------------------------------ read


def test_V1_V2_damage_is_found_before_the_target_is_touched(
    catalog: Catalog, database: SQLite, bucket: str, tmp_path: Path
) -> None:
    backup = create(catalog, database)
    key = f"p/{backup.backup_id}/{PAYLOAD}"
    data = s3_support.client().get_object(Bucket=bucket, Key=key)["Body"].read()
    before = database.file.read_bytes()
    for changed in (data[:9] + bytes([data[9] ^ 1]) + data[10:], data[:-1], b""):
        s3_support.client().put_object(Bucket=bucket, Key=key, Body=changed)
        with pytest.raises(BackupError, match=PAYLOAD):
            catalog.verify(backup)
        with pytest.raises(BackupError, match=PAYLOAD):
            restored(database, backup, catalog)
        assert database.file.read_bytes() == before
    s3_support.client().put_object(Bucket=bucket, Key=key, Body=data)
    restored(database, backup, catalog)


@pytest.mark.parametrize("backup_id", ["../../etc", "/etc/passwd", "a\0", "-rf", "", "backup_" + "a" * 300, "backup_а_20200101_000000"])  # fmt: skip # noqa: RUF001
def test_V7_no_request_is_made_of_a_hostile_id(catalog: Catalog, faults, backup_id: str) -> None:
    faults.seen.clear()
    with pytest.raises(UsageError):
        catalog.get(backup_id)
    with pytest.raises(UsageError):
        delete(catalog, backup_id)
    assert faults.seen == []


def test_an_object_that_leads_out_of_the_folder_is_refused(
    catalog: Catalog, bucket: str, tmp_path: Path
) -> None:
    backup = publish(catalog.storage, ID, {"a": b"x"})
    s3_support.client().put_object(Bucket=bucket, Key=f"p/{ID}/../../evil", Body=b"x")
    evil = Backup(
        backup_id=ID, backup_path="", backup_time=backup.backup_time,
        files=(*backup.files, type(backup.files[0])(path="../../evil", size=1, sha256=backup.files[0].sha256)),
    )  # fmt: skip
    with pytest.raises(BackupError, match="leads out"), catalog.reading(evil):
        pytest.fail("it was read")


def test_R2_R11_prune_in_a_bucket(catalog: Catalog, database: SQLite, bucket: str, faults) -> None:
    history = [create(catalog, database, f"v{number}") for number in range(5)]
    s3_support.client().delete_object(Bucket=bucket, Key=f"p/{history[4].backup_id}/{PAYLOAD}")
    bad = history[1].backup_id
    faults.rule = lambda method, path: (503, "SlowDown") if method == "DELETE" and bad in path else None
    with pytest.raises(BackupError, match="too busy") as caught:
        prune(catalog, 1, owner_of_all(catalog), dry=False)
    assert caught.value.exit_code is ExitCode.COULD_NOT_TELL
    left = [b.backup_id for b in catalog.list()]
    assert left == [b.backup_id for b in history[2:]]  # the one half way is no backup any more
    faults.rule = lambda _method, _path: None
    assert [b.backup_id for b in prune(catalog, 1, owner_of_all(catalog), dry=False)] == [
        history[2].backup_id
    ]
    assert catalog.sweep() == [bad]
    assert {key.split("/")[1] for key in s3_support.keys(bucket)} == {b.backup_id for b in history[3:]}


def test_copies_between_a_folder_and_a_bucket(
    catalog: Catalog, database: SQLite, tmp_path: Path, faults
) -> None:
    local = Catalog(LocalStorage(tmp_path / "backups"))
    backup = create(local, database)
    copied = copy(backup, local, catalog)
    assert copied.backup_path == catalog.storage.path(backup.backup_id)
    assert catalog.list() == [copied]
    with pytest.raises(RefusedError, match="already"):
        copy(backup, local, catalog)
    delete(local, backup.backup_id)
    assert copy(copied, catalog, local) == backup == local.get(backup.backup_id)
    restored(database, local.get(backup.backup_id), local)
    (Path(backup.backup_path) / PAYLOAD).write_bytes(b"x" * backup.backup_size)
    delete(catalog, backup.backup_id)
    with pytest.raises(BackupError, match="checksum"):
        copy(backup, local, catalog)
    assert catalog.list() == []


PEAK = """
import sys
from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.testing.storages import ID, manifest
storage = S3Storage(sys.argv[1])
with storage.writing(ID) as folder:
    with (folder / "big").open("wb") as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    backup = storage.publish(ID, lambda files: manifest(ID, files))
with Catalog(storage).reading(backup):
    pass
# not ru_maxrss: that counts the memory of the process that started this one too
print(next(int(l.split()[1]) // 1024 for l in open("/proc/self/status") if l.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_memory_does_not_grow_with_the_backup(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_support.use(server, monkeypatch)
    place = f"s3://{s3_support.new_bucket()}/p"
    done = subprocess.run([sys.executable, "-c", PEAK, place], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150, f"{done.stdout.strip()} MB for a backup of 200 MB"


def test_no_room_to_fetch(catalog: Catalog, database: SQLite, monkeypatch: pytest.MonkeyPatch) -> None:
    backup = create(catalog, database)
    huge = Backup(
        backup_id=backup.backup_id, backup_path="", backup_time=backup.backup_time,
        files=(type(backup.files[0])(path=PAYLOAD, size=1 << 60, sha256=""),),
    )  # fmt: skip
    monkeypatch.setattr(catalog.storage, "sizes", lambda _id: {PAYLOAD: 1 << 60})
    with pytest.raises(BackupError, match=rf"{1 << 60} bytes needed, \d+ bytes free"), catalog.reading(huge):
        pytest.fail("it was read")


def test_the_marks_of_a_writer_have_time(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = S3Storage("s3://bucket")
    assert storage._beat * 5 <= storage._stale
    assert s3._PIECE * s3._AT_ONCE <= 64 << 20

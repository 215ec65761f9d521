"""Large objects of PostgreSQL: many are few files of a backup, and they come back as they were."""

import os
import subprocess
from contextlib import closing
from pathlib import Path
from tarfile import TarInfo

import psycopg
import pytest
import s3_support
from pyrage import x25519

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.compression import Allowance, compressing
from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql import large_objects
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.tools import decode
from ci_migrate.errors import BackupError
from ci_migrate.model import VersionTable

COUNT = 400

MAKE = f"""
DO $$ BEGIN IF to_regrole('lo_reader') IS NULL THEN CREATE ROLE lo_reader; CREATE ROLE lo_owner; END IF; END $$;
SELECT lo_from_bytea(0, decode(md5(n::text) || md5((-n)::text), 'hex')) FROM generate_series(1, {COUNT}) n;
SELECT lo_create(3000000000);
SELECT lo_from_bytea(3000000001, decode(repeat('00ff5c0a', 700000), 'hex'));
GRANT SELECT, UPDATE ON LARGE OBJECT 3000000000 TO lo_reader;
GRANT SELECT ON LARGE OBJECT 3000000001 TO PUBLIC;
ALTER LARGE OBJECT 3000000001 OWNER TO lo_owner;
COMMENT ON LARGE OBJECT 3000000001 IS 'a scan';
"""

ALL = """
SELECT count(*), sum(length(lo_get(m.oid))), md5(string_agg(md5(lo_get(m.oid)), ',' ORDER BY m.oid)),
  array_agg((m.oid, lomowner::regrole, lomacl, obj_description(m.oid, 'pg_largeobject'))::text ORDER BY m.oid DESC)
FROM pg_largeobject_metadata m"""


def sql(url, text):
    with closing(
        psycopg.connect(
            url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True
        )
    ) as connection:
        cursor = connection.execute(text)
        return cursor.fetchone() if cursor.description else None


@pytest.fixture
def database(postgresql_url):
    sql(postgresql_url, MAKE)
    return PostgreSQL(postgresql_url)


def create(catalog, database):
    return catalog.create(database, target="dev", version_tables=[VersionTable()], migration_version="head")


def restored(catalog, backup, database, folder):
    with (
        database.scratch(f"lo{os.getpid()}", folder) as copy,
        catalog.reading(backup) as payload,
    ):
        copy.load(payload)
        return sql(copy.url, ALL)


def key():
    identity = x25519.Identity.generate()
    return Encryption((str(identity.to_public()),), lambda: str(identity))


@pytest.mark.parametrize("place", ["folder", "encrypted"])
def test_F90_large_objects_are_few_files_and_come_back(database, tmp_path, monkeypatch, place):
    monkeypatch.setattr(large_objects, "PIECE", 5_000)  # so that there are several tars
    before = sql(database.url, ALL)
    assert before[0] == COUNT + 2
    catalog = Catalog(LocalStorage(tmp_path / "backups"), key() if place == "encrypted" else None)
    backup = create(catalog, database)
    assert 4 < len(backup.files) < 10
    assert restored(catalog, backup, database, tmp_path) == before


def test_F90_large_objects_come_back_from_a_bucket(database, tmp_path, monkeypatch):
    with s3_support.s3_server() as endpoint:
        s3_support.use(endpoint, monkeypatch)
        catalog = Catalog(S3Storage(f"s3://{s3_support.new_bucket()}/p"))
        backup = create(catalog, database)
        assert len(backup.files) < 10
        assert restored(catalog, backup, database, tmp_path) == sql(database.url, ALL)


def dumped(database, tmp_path):
    payload = tmp_path / "payload"
    payload.mkdir()
    return payload, database.dump(payload, [])


def test_F90_a_person_without_ci_migrate_restores_them(database, postgresql_server, tmp_path):
    payload, told = dumped(database, tmp_path)
    name = f"{database.url.database}_by_hand"
    commands = told.how_to_restore.replace("NEW_DATABASE", name)
    admin = postgresql_server.admin_url
    environment = {**os.environ, "PGHOST": admin.host, "PGPORT": str(admin.port), "PGUSER": admin.username,
                   "PGPASSWORD": admin.password, "PATH": f"{postgresql_server.binaries}:{os.environ['PATH']}"}  # fmt: skip
    try:
        subprocess.run(["sh", "-ec", commands], cwd=payload, env=environment, check=True)
        assert sql(database.url.set(database=name), ALL) == sql(database.url, ALL)
    finally:
        sql(admin, f'DROP DATABASE IF EXISTS "{name}"')


def test_F90_a_backup_with_a_file_for_each_large_object_is_restored(database, tmp_path, monkeypatch):
    """As versions before wrote them."""
    monkeypatch.setattr(large_objects, "gather", lambda _archive: 0)
    catalog = Catalog(LocalStorage(tmp_path / "backups"))
    backup = create(catalog, database)
    assert len(backup.files) > COUNT
    monkeypatch.undo()
    assert restored(catalog, backup, database, tmp_path) == sql(database.url, ALL)


@pytest.mark.parametrize("tables", [(), ("public.kept",)])
def test_rows_of_some_tables_or_none_bring_no_large_objects(database, tmp_path, tables):
    sql(database.url, "CREATE TABLE kept (i int)")
    payload = tmp_path / "payload"
    payload.mkdir()
    database.dump_tables(payload, [VersionTable()], tables)
    names = [path.name for path in (payload / archives.ARCHIVE).iterdir()]
    assert not [name for name in names if "blob" in name or "large" in name]
    with database.scratch(f"lo{os.getpid()}", tmp_path) as copy:
        copy.load(payload)
        assert copy.large_objects() == 0


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "swap"])
def test_F90_damaged_large_objects_are_refused(database, tmp_path, damage):
    payload, _ = dumped(database, tmp_path)
    (tar,) = (payload / "dump").glob("large-objects-*")
    data = bytearray(tar.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0xFF
    elif damage == "truncate":
        del data[len(data) // 2 :]
    tar.write_bytes(data)
    if damage == "remove":
        tar.unlink()
    elif damage == "swap":
        tar.unlink()
        write_tar(tar, [("blobs.toc", b"7 blob_7.dat\n")])
    with pytest.raises(BackupError, match="damaged"):
        decode(payload)
    with database.scratch(f"lod{os.getpid()}", tmp_path) as copy, pytest.raises(BackupError):
        copy.load(payload)


def write_tar(path, members):
    with compressing(path) as file:
        for member, content in members:
            info = TarInfo(member)
            info.size = len(content)
            file.write(info.tobuf() + content + bytes(-len(content) % 512))
        file.write(bytes(1024))


@pytest.mark.parametrize("name", ["../out.dat", "/tmp/out.dat", "toc.dat", "blob_7.dat/x", "blobs.toc.gz", "blob_7.dat\n"])  # fmt: skip
def test_F31_a_tar_holds_large_objects_and_nothing_else(tmp_path, name):
    tar = tmp_path / "large-objects-1.tar.zst"
    write_tar(tar, [(name, b"x")])
    (tmp_path / "in").mkdir()
    with pytest.raises(BackupError, match="holds "):
        large_objects.scatter(tar, tmp_path / "in", Allowance())
    assert list((tmp_path / "in").iterdir()) == []


def test_F31_a_link_in_a_tar_is_refused(tmp_path):
    tar = tmp_path / "large-objects-1.tar.zst"
    info = TarInfo("blob_7.dat")
    info.type, info.linkname = b"2", "/etc/passwd"
    with compressing(tar) as file:
        file.write(info.tobuf() + bytes(1024))
    with pytest.raises(BackupError, match="holds "):
        large_objects.scatter(tar, tmp_path, Allowance())


def test_F31_a_bomb_inside_a_bomb_is_refused(tmp_path):
    """A large object that is packed once more, as pg_dump 16 and later does."""
    inner = tmp_path / "inner"
    with compressing(inner) as file:
        for _ in range(200):
            file.write(bytes(1 << 20))
    tar = tmp_path / "large-objects-1.tar.zst"
    write_tar(tar, [("blob_7.dat.zst", inner.read_bytes())])
    with pytest.raises(BackupError, match="unpacks to more than 50,000,000 bytes"):
        large_objects.scatter(tar, tmp_path, Allowance(50_000_000))
    assert (tmp_path / "blob_7.dat").stat().st_size <= 50_000_000


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_what_is_gathered_is_scattered(tmp_path, suffix):
    import gzip

    archive, folder = tmp_path / "archive", tmp_path / "folder"
    contents = {f"blob_{n}.dat": bytes([n]) * n * 1000 for n in range(60)}
    for place in (archive, folder):
        place.mkdir()
    lists = {
        f"blobs_{n}.toc": "".join(f"{m} blob_{m}.dat\n" for m in range(n * 20, n * 20 + 20)) for n in range(3)
    }
    for name, text in lists.items():
        (archive / name).write_text(text)
    for name, content in contents.items():
        path = archive / f"{name}{suffix}"
        if suffix == ".zst" and content:
            with compressing(path) as file:
                file.write(content)
        else:
            path.write_bytes(gzip.compress(content) if suffix == ".gz" else content)
    assert large_objects.gather(archive) == 1
    (tar,) = archive.iterdir()
    assert large_objects.read(tar) == 0
    large_objects.scatter(tar, folder, Allowance())
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == contents | {name: text.encode() for name, text in lists.items()}


def test_a_missing_large_object_is_told(tmp_path: Path):
    (tmp_path / "blobs.toc").write_text("7 blob_7.dat\n")
    with pytest.raises(BackupError, match=r"blob_7\.dat is missing"):
        large_objects.gather(tmp_path)

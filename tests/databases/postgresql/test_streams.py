"""Tables that pg_restore reads while they are unpacked: whole ones come back, and of a damaged one nothing is kept."""

import errno
import os
import signal
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
import s3_support
from pyrage import x25519

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.s3 import S3Storage
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases import compression
from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql import load as loading
from ci_migrate.databases.postgresql import streams as streaming
from ci_migrate.databases.postgresql import tools
from ci_migrate.databases.postgresql.archive import pack, unpack
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.databases.postgresql.streams import END_OF_ROWS, Streams
from ci_migrate.errors import BackupError
from ci_migrate.model import VersionTable

ROWS = b"".join(b"%d\tone\n" % n for n in range(200_000))


@pytest.fixture(autouse=True)
def _all_are_streamed(monkeypatch, tmp_path):
    """And nothing is left: no thread that waits, no pipe."""
    monkeypatch.setattr(archives, "LEAST", 0)
    monkeypatch.setattr(tools, "compression", lambda _tool: tools.ZLIB)  # we pack, whatever pg_dump could do
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "payload" / "dump"
    folder.mkdir(parents=True)
    (folder / "toc.dat").write_bytes(b"contents")
    for name in ("1.dat", "2.dat"):
        (folder / name).write_bytes(ROWS + END_OF_ROWS)
    pack(folder, 1)
    return folder


@pytest.mark.parametrize("read", ["whole", "a part", "none"])
def test_a_pipe_gives_its_file_once_and_waits_for_nobody_at_the_end(archive, read):
    streams = Streams()
    with unpack(archive, 1, 2, streams=streams) as folder:
        assert (folder / "toc.dat").read_bytes() == b"contents"
        assert (folder / "1.dat").is_fifo()
        if read != "none":
            with (folder / "1.dat").open("rb") as file:
                found = file.read() if read == "whole" else file.read(10)
            assert (ROWS + END_OF_ROWS).startswith(found)
            assert (len(found) == 10) is (read == "a part")
        streams.check()


def test_where_there_are_no_pipes_it_is_unpacked_at_once(archive, monkeypatch):
    def refuse(*_given):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "mkfifo", refuse)
    with unpack(archive, 1, 2, streams=Streams()) as folder:
        assert (folder / "1.dat").read_bytes() == (folder / "2.dat").read_bytes() == ROWS + END_OF_ROWS


def sql(url, text):
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg.connect(address, autocommit=True)) as connection:
        cursor = connection.execute(text)
        return cursor.fetchall() if cursor.description else None


@pytest.fixture
def database(postgresql_url):
    for name, rows in (("small", 3), ("large", 100_000)):
        sql(
            postgresql_url,
            f"CREATE TABLE {name} AS SELECT n, md5(n::text) AS word FROM generate_series(1, {rows}) n",
        )
        sql(postgresql_url, f"CREATE INDEX ON {name} (n)")
    return PostgreSQL(postgresql_url, jobs=2)


@pytest.fixture
def payload(database, tmp_path):
    folder = tmp_path / "payload"
    folder.mkdir()
    database.dump(folder, [])
    return folder


def largest(payload):
    return max((payload / "dump").glob("*.zst"), key=lambda path: path.stat().st_size)


def without_its_end(path):
    with compression.open_decompressed(path) as file:
        data = file.read()
    path.unlink()
    with compression.compressing(path) as file:
        file.write(data.removesuffix(END_OF_ROWS))


def flip(at):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[int(at * (len(data) - 1))] ^= 0x10
        path.write_bytes(data)

    return damage


DAMAGES = {
    "head": flip(0), "a third": flip(0.3), "two thirds": flip(0.7), "checksum": flip(1),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "empty": lambda path: path.write_bytes(b""),
    "end of rows": without_its_end,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_V1_V2_a_damaged_table_is_refused_and_none_of_its_rows_stay(database, payload, tmp_path, damage):
    DAMAGES[damage](largest(payload))
    with database.scratch(f"damaged{os.getpid()}", tmp_path) as copy:
        with pytest.raises(BackupError, match=r"\.dat\.zst can't be unpacked"):
            copy.load(payload)
        assert sql(copy.url, "SELECT n FROM large") == []
    before = database.contents(["public.large", "public.small"])
    databases = sql(database.url, "SELECT datname FROM pg_database ORDER BY 1")
    with pytest.raises(BackupError, match=r"\.dat\.zst can't be unpacked"):
        database.replace(payload, lambda _copy: pytest.fail("it is no proof"), "label")
    assert database.contents(["public.large", "public.small"]) == before
    assert sql(database.url, "SELECT datname FROM pg_database ORDER BY 1") == databases


def test_F31_what_unpacks_to_more_is_refused_while_it_is_read(database, payload, tmp_path):
    with database.scratch(f"bomb{os.getpid()}", tmp_path) as copy:
        with pytest.raises(BackupError, match="unpacks to more than 2,000,000 bytes"):
            copy.load(payload, most=2_000_000)
        assert sql(copy.url, "SELECT n FROM large") == []


def test_M16_pg_restore_killed_in_the_middle_of_a_table(database, payload, tmp_path, monkeypatch):
    def chunks(packed, allowance):
        for number, chunk in enumerate(compression.chunks(packed, allowance)):
            if number == 2:
                for pid in children("pg_restore"):
                    os.kill(pid, signal.SIGKILL)
            yield chunk

    monkeypatch.setattr(streaming, "chunks", chunks)
    with database.scratch(f"killed{os.getpid()}", tmp_path) as copy:
        with pytest.raises(BackupError, match="ended by signal 9"):
            copy.load(payload)
        monkeypatch.undo()
    with database.scratch(f"again{os.getpid()}", tmp_path) as copy:
        copy.load(payload)
        assert copy.contents(["public.large"]) == database.contents(["public.large"])


def children(name):
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text()
        except OSError:
            continue
        if f"({name})" in words and int(words.rpartition(")")[2].split()[1]) == os.getpid():
            yield int(stat.parent.name)


@pytest.mark.parametrize("place", ["folder", "encrypted", "bucket"])
def test_they_come_back_from_each_place_with_statistics(database, tmp_path, monkeypatch, place):
    monkeypatch.setattr(loading, "_SMALL", 0)  # so that several sessions gather them
    sql(database.url, """
        CREATE SCHEMA "Od""d"; CREATE TABLE "Od""d"."t.%" (n int, word text) PARTITION BY RANGE (n);
        CREATE TABLE part PARTITION OF "Od""d"."t.%" FOR VALUES FROM (1) TO (1000000);
        INSERT INTO "Od""d"."t.%" SELECT n, n::text FROM generate_series(1, 30000) n""")  # fmt: skip
    with s3_support.s3_server() as endpoint:
        s3_support.use(endpoint, monkeypatch)
        identity = x25519.Identity.generate()
        sealing = Encryption((str(identity.to_public()),), lambda: str(identity))
        storage = (
            S3Storage(f"s3://{s3_support.new_bucket()}/p")
            if place == "bucket"
            else LocalStorage(tmp_path / "backups")
        )
        catalog = Catalog(storage, sealing if place == "encrypted" else None)
        backup = catalog.create(
            database, target="dev", version_tables=[VersionTable()], migration_version="head"
        )
        with database.scratch(f"place{os.getpid()}", tmp_path) as copy, catalog.reading(backup) as payload:
            copy.load(payload)
            tables = list(database.counts())
            assert len(tables) == 3
            assert copy.contents(tables) == database.contents(tables)
            analyzed = sql(
                copy.url, "SELECT DISTINCT tablename FROM pg_stats WHERE schemaname !~ '^pg_|^info'"
            )
            assert {name for (name,) in analyzed} == {"small", "large", "t.%", "part"}


def test_a_signal_ends_statistics_that_take_long(database, monkeypatch):
    """Here they wait for a lock; of a large table they may take minutes."""
    monkeypatch.setattr(loading, "_SMALL", 0)

    def interrupt(*_):
        raise KeyboardInterrupt

    access = Access({**database._access.parameters}, "ci-migrate/test")
    job = SimpleNamespace(access=access, workers=2)
    with access.session() as holding, access.session() as connection:
        holding.execute("BEGIN")
        holding.execute("LOCK TABLE large IN SHARE UPDATE EXCLUSIVE MODE")
        before = signal.signal(signal.SIGALRM, interrupt)
        signal.alarm(2)
        began = time.monotonic()
        try:
            with pytest.raises(KeyboardInterrupt):
                loading._analyze(connection, job)
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        assert time.monotonic() - began < 20
        at_work = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ANALYZE%' AND state = 'active'"
        assert connection.execute(at_work).fetchone() == (0,)
        holding.execute("ROLLBACK")

"""What pg_dump wrote: packed, proved, unpacked."""

import gzip
import shutil
from functools import partial
from types import SimpleNamespace

import psycopg
import pytest

from ci_migrate.databases.compression import Allowance, compressing
from ci_migrate.databases.postgresql import load as loading
from ci_migrate.databases.postgresql import tools
from ci_migrate.databases.postgresql.about import About
from ci_migrate.databases.postgresql.archive import END_OF_ROWS, pack, prove, unpack
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.postgresql.tools import find_tool, table_of_contents
from ci_migrate.errors import BackupError

CONTENTS = [";", "4040; 0 16390 TABLE DATA public t postgres", "4041; 1259 16391 INDEX public ix postgres"]
ROWS = b"1\tone\n2\ttwo\n" * 10_000


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "payload" / "dump"
    folder.mkdir(parents=True)
    (folder / "toc.dat").write_bytes(b"contents")
    (folder / "4040.dat").write_bytes(ROWS + END_OF_ROWS)
    (folder / "4042.dat").write_bytes(b"")
    return folder


def test_what_is_packed_is_unpacked_to_the_same(archive):
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    told = []
    pack(archive, 2, lambda done, total: told.append((done, total)))
    assert {path.name for path in archive.iterdir()} == {
        "toc.dat",
        "4040.dat.zst",
        "4042.dat",
    }
    assert (archive / "4040.dat.zst").stat().st_size < len(ROWS) / 50
    assert told[-1] == (len(ROWS + END_OF_ROWS), len(ROWS + END_OF_ROWS))
    prove(archive, CONTENTS, 2)
    with unpack(archive, 1, 2) as folder:
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert not folder.exists()


def test_an_archive_that_is_not_packed_is_taken_as_it_is(archive):
    with unpack(archive, 0, 2) as folder:
        assert folder == archive


@pytest.mark.parametrize("packing", ["plain", "zlib", "zstd"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove", "rows"])
def test_V1_V2_an_archive_that_is_not_whole_is_no_proof(archive, packing, damage):
    file = archive / "4040.dat"
    if damage == "rows":  # the file is sound, and not all was written into it
        file.write_bytes(ROWS)
    if packing == "zstd":
        pack(archive, 1)
        file = archive / "4040.dat.zst"
    elif packing == "zlib":
        (archive / "4040.dat.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
        file = archive / "4040.dat.gz"
    data = bytearray(file.read_bytes())
    if damage == "flip":
        if packing == "plain":
            pytest.skip("rows without a checksum of their own: the manifest's finds that")
        data[len(data) // 2] ^= 0xFF
    elif damage in ("truncate", "empty"):
        data = data[: len(data) // 2 if damage == "truncate" else 0]
    file.write_bytes(data)
    if damage == "remove":
        file.unlink()
    with pytest.raises(BackupError, match=r"The dump is damaged: 4040\.dat"):
        prove(archive, CONTENTS, 2)


def test_there_must_be_room_to_unpack(archive):
    pack(archive, 1)
    with pytest.raises(BackupError, match="no room to unpack") as raised, unpack(archive, 1 << 60, 1):
        pass
    assert "TMPDIR" in raised.value.hint


@pytest.fixture
def database(postgresql_url):
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        connection.execute("CREATE TABLE t AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n")
    return PostgreSQL(postgresql_url, jobs=3)


@pytest.mark.parametrize("room", ["much", "little"])
def test_a_dump_is_packed_where_there_is_room_for_both(database, tmp_path, monkeypatch, room):
    if room == "little":
        usage = SimpleNamespace(free=database.size())
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    payload = tmp_path / "payload"
    payload.mkdir()
    dumped = database.dump(payload, [])
    major = int(dumped.tool_version.split()[1].split(".")[0])
    suffixes = {path.suffix for path in (payload / "dump").iterdir() if path.name != "toc.dat"}
    packed = room == "much" and major < 16
    if major < 16:
        assert suffixes == {".zst" if packed else ".gz"}
        assert dumped.how_to_restore.startswith("zstd -d" if packed else "createdb")
    assert "--jobs=3" in dumped.how_to_restore
    assert bool(About.read(payload).unpacked) is packed
    tool = find_tool("pg_restore", at_least=major, like=major)
    prove(payload / "dump", table_of_contents(tool, payload), 1)
    with database.scratch(f"room{room}", tmp_path) as copy:
        copy.load(payload)
        assert copy.contents(["public.t"]) == database.contents(["public.t"])


def bomb(path, opened):
    """A table's file with 300 MB of rows in it."""
    row = b"x" * 999 + b"\n"
    path.unlink()
    with opened(path) as file:
        for _ in range(300):
            file.write(row * 1000)
        file.write(END_OF_ROWS)


def test_F31_an_archive_that_unpacks_to_more_is_refused(archive):
    pack(archive, 1)
    bomb(archive / "4040.dat.zst", compressing)
    with pytest.raises(BackupError, match="unpacks to more than 20,000,000 bytes"):  # noqa: SIM117
        with unpack(archive, 1, 1, allowance=Allowance(20_000_000)):
            pytest.fail("it was unpacked")


def test_F31_zlib_which_pg_restore_unpacks_is_stopped_by_the_size_of_the_copy(
    postgresql_url, tmp_path, monkeypatch
):
    with psycopg.connect(postgresql_url.render_as_string(hide_password=False)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'x' AS word")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setattr(tools, "compression", lambda _tool: "--compress=1")
    monkeypatch.setattr(loading, "_SECONDS", 0.1)
    database, payload = PostgreSQL(postgresql_url), tmp_path / "payload"
    payload.mkdir()
    database.dump(payload, [])
    (packed,) = (payload / "dump").glob("*.gz")
    bomb(packed, partial(gzip.open, mode="wb", compresslevel=1))
    with database.scratch("bomb", tmp_path) as copy:
        with pytest.raises(BackupError, match="unpacks to more than 30,000,000 bytes"):
            copy.load(payload, most=30_000_000)
        assert copy.size() < 300_000_000

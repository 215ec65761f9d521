"""Encryption at rest: real keys, real files; what is stored is held against the plaintext."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pyrage
import pytest
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.comparison import compare_restored
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.sealed import FILE
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import BackupError, SettingsError
from ci_migrate.model import Backup, VersionTable

CANARY = "a-very-secret-row"


@pytest.fixture
def database(tmp_path: Path) -> SQLite:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        connection.execute("INSERT INTO users (name) VALUES (?)", (CANARY,))
        connection.commit()
    return SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))


@pytest.fixture
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch) -> Path:
    """TMPDIR of the test: what is left in it was not removed."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def encrypted(tmp_path: Path, *recipients, identity: str | None = None) -> Catalog:
    return Catalog(LocalStorage(tmp_path / "backups"), Encryption(recipients, lambda: identity))


def create(catalog: Catalog, database) -> Backup:
    return catalog.create(database, target="dev", version_tables=[VersionTable()], migration_version="head")


def stored(backup: Backup) -> bytes:
    return b"".join(p.read_bytes() for p in Path(backup.backup_path).rglob("*") if p.is_file())


def test_a_backup_is_encrypted_and_read_again(tmp_path, database, key, temporary):
    catalog = encrypted(tmp_path, str(key.to_public()), identity=str(key))
    backup = create(catalog, database)
    assert backup.encryption == "age"
    assert "age -d -i" in backup.how_to_restore
    assert [file.path for file in backup.files] == [f"{FILE}.age", "database.sqlite3.zst.age"]
    assert {p.stat().st_mode & 0o777 for p in Path(backup.backup_path).iterdir()} == {0o600}
    assert stored(backup).count(b"age-encryption.org/v1") == 2
    assert b"\x28\xb5\x2f\xfd" not in stored(backup)[:4], "zstd's magic number"
    catalog.verify(backup)  # what is stored; no key is needed
    encrypted(tmp_path).verify(backup)
    with catalog.reading(backup) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}
        copy = SQLite(URL.create("sqlite", database=str(tmp_path / "copy.db")))
        copy.load(folder)
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [(CANARY,)]
    assert list(temporary.iterdir()) == []


def test_F41_digests_are_sealed_with_the_rows_and_a_copy_is_compared_with_them(
    tmp_path, database, key, temporary
):
    """Who reads the manifest of an encrypted backup could guess a table with a row or two by its digest."""
    catalog = encrypted(tmp_path, str(key.to_public()), identity=str(key))
    backup = create(catalog, database)
    assert (backup.contents, backup.samples) == ({}, {})
    digest = database.contents(["users"])["users"].digest
    assert digest is not None
    assert digest.encode() not in stored(backup)
    with catalog.reading(backup) as payload:
        assert not (payload / FILE).exists(), "nobody takes it for a part of the dump"
        copy = SQLite(URL.create("sqlite", database=str(tmp_path / "copy.db")))
        copy.load(payload)
    found = compare_restored(copy, catalog.with_digests(backup))
    assert found.compared[-1].startswith("rows of "), found
    assert found.compared[-1].endswith(" by digest")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        connection.execute("UPDATE users SET name = 'x'")
        connection.commit()
    assert compare_restored(copy, catalog.with_digests(backup)).wrong == (
        "table users has other values in name",
    )


def test_several_recipients_and_ssh_keys(tmp_path, database, key):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "id")], check=True)
    public = (tmp_path / "id.pub").read_text().strip()
    backup = create(encrypted(tmp_path, str(key.to_public()), public), database)
    for identity in (f"# created: today\n{key}\n", (tmp_path / "id").read_text()):
        with encrypted(tmp_path, identity=identity).reading(backup) as folder:
            assert [p.name for p in folder.iterdir()] == ["database.sqlite3.zst"]


def test_a_wrong_or_missing_identity_is_refused(tmp_path, database, key, temporary):
    backup = create(encrypted(tmp_path, str(key.to_public())), database)
    other = str(pyrage.x25519.Identity.generate())
    for identity, error, words in (
        (None, SettingsError, "no backup-identity"),
        (other, BackupError, "another identity"),
        ("AGE-SECRET-KEY-1NONSENSE", SettingsError, "no private key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense", SettingsError, "no private key"),
    ):
        catalog = encrypted(tmp_path, identity=identity)
        with pytest.raises(error, match=words) as refused:
            catalog.check_readable(backup)
        with pytest.raises(error, match=words), catalog.reading(backup):
            pytest.fail("it was opened")
        assert not identity or identity not in "\n".join(refused.value.lines)
    assert list(temporary.iterdir()) == []


def test_identity_and_recipients_are_compared_before_anything(tmp_path, key):
    encrypted(tmp_path, str(key.to_public()), identity=str(key)).encryption.check()
    encrypted(tmp_path).encryption.check()
    other = str(pyrage.x25519.Identity.generate())
    with pytest.raises(SettingsError, match="belongs to none"):
        encrypted(tmp_path, str(key.to_public()), identity=other).encryption.check()
    with pytest.raises(SettingsError, match="no public key"):
        encrypted(tmp_path, "age1nonsense", identity=other).encryption.check()


@pytest.mark.parametrize("change", ["flip", "cut", "append"])
def test_V1_V2_changed_ciphertext_is_never_read(tmp_path, database, key, temporary, change):
    catalog = encrypted(tmp_path, str(key.to_public()), identity=str(key))
    backup = create(catalog, database)
    path = Path(backup.backup_path) / backup.files[0].path
    data = bytearray(path.read_bytes())
    data = {
        "flip": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
        "cut": data[:-1],
        "append": data + b"x",
    }[change]
    path.write_bytes(data)
    with pytest.raises(BackupError, match="damaged"):
        catalog.verify(backup)
    stored = Path(backup.backup_path)
    opening = catalog.encryption.opening(stored, backup.files)
    with pytest.raises(BackupError, match="changed or cut short"), opening:
        pytest.fail("it was opened")
    assert list(temporary.iterdir()) == []


def test_B1_a_full_disk_while_encrypting_leaves_nothing(tmp_path, key, temporary):
    """RLIMIT_FSIZE in a process of its own: the plaintext fits, the ciphertext with its tags does not."""
    code = f"""
import os, resource, signal, sys
from pathlib import Path
from ci_migrate.backups.comparison import compare_restored
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.sealed import FILE
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
stored = Path(sys.argv[1])
try:
    with Encryption(["{key.to_public()}"]).sealing(stored) as plain:
        (plain / "dump").write_bytes(os.urandom(1_000_000))
except OSError as error:
    print(error.errno, [p.name for p in plain.parents[1].iterdir()])
"""
    (tmp_path / "stored").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "stored")],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("27 []", "")  # EFBIG; no plaintext is left


def test_memory_is_constant(tmp_path, key):
    code = f"""
import os, resource, sys
from pathlib import Path
from ci_migrate.backups.comparison import compare_restored
from ci_migrate.backups.encryption import Encryption
from ci_migrate.backups.sealed import FILE
from ci_migrate.model import BackupFile
stored = Path(sys.argv[1])
encryption = Encryption(["{key.to_public()}"], lambda: "{key}")
encryption.check()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with encryption.sealing(stored) as plain:
    with (plain / "dump").open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))
size = (stored / "dump.age").stat().st_size
with encryption.opening(stored, [BackupFile(path="dump.age", size=size, sha256="")]) as plain:
    assert (plain / "dump").stat().st_size == 200_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    (tmp_path / "stored").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "stored")], capture_output=True, text=True, check=False
    )
    shutil.rmtree(tmp_path / "stored")
    scale = 1024 if sys.platform == "linux" else 1
    assert int(done.stdout) * scale < 50_000_000, done.stderr


def test_a_dump_with_passwords_says_so_and_stays_here_unless_encrypted(tmp_path, postgresql_url, key):
    database = PostgreSQL(postgresql_url)
    with psycopg.connect(postgresql_url.set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute("CREATE FOREIGN DATA WRAPPER other")
        connection.execute("CREATE SERVER there FOREIGN DATA WRAPPER other")
        connection.execute(f"CREATE USER MAPPING FOR CURRENT_USER SERVER there OPTIONS (password '{CANARY}')")
    catalog = encrypted(tmp_path)
    backup = create(catalog, database)
    assert backup.secrets == ("1 user mappings",)
    assert CANARY not in json.dumps(json.loads((Path(backup.backup_path) / "manifest.json").read_text()))
    catalog.storage.remote = True
    with pytest.raises(BackupError, match="would go to"):
        create(catalog, database)
    assert catalog.list() == [backup]
    sealed = encrypted(tmp_path, str(key.to_public()), identity=str(key))
    sealed.storage.remote = True
    backup = create(sealed, database)
    assert all(file.path.endswith(".age") for file in backup.files)
    with sealed.reading(backup) as folder, database.scratch("encrypted_1", tmp_path) as copy:
        copy.load(folder)


# ------------------------------------------------------------------ by the command line


@pytest.fixture
def sealed(alembic_project, key):
    """A project that encrypts; its private key lies in a file of its own."""
    (alembic_project.folder / "key.txt").write_text(f"{key}\n")
    (alembic_project.folder / "key.txt").chmod(0o600)
    alembic_project.settings(
        f'[targets.dev]\nurl = "sqlite:///app.db"\nbackup-recipients = ["{key.to_public()}"]\n'
        'backup-identity = "file:key.txt"\n'
    )
    return alembic_project


def test_a_run_with_encrypted_backups(sealed, key):
    done = sealed.run("run")
    assert done.code == 0, done.text
    backup = json.loads(sealed.run("backup", "list", "--json").out)[0]
    assert backup["encryption"] == "age"
    for arguments in (("verify", backup["backupId"]), ("verify", backup["backupId"], "--restore")):
        assert sealed.run("backup", *arguments).code == 0
    done = sealed.run("backup", "restore", backup["backupId"], "--yes")
    assert done.code == 0, done.text
    assert sealed.heads == []
    assert str(key).encode() not in b"".join(p.read_bytes() for p in sealed.reports.rglob("*") if p.is_file())


def test_without_the_right_key_nothing_is_touched(sealed):
    assert sealed.run("run", "--to", "r1").code == 0
    backup = json.loads(sealed.run("backup", "list", "--json").out)[0]["backupId"]
    before, count = sealed.dump(), len(list((sealed.folder / ".ci-migrate" / "backups").iterdir()))
    (sealed.folder / "key.txt").write_text(f"{pyrage.x25519.Identity.generate()}\n")
    done = sealed.run("run")
    assert (done.code, "belongs to none" in done.text) == (2, True), done.text
    done = sealed.run("backup", "restore", backup, "--yes")
    assert (done.code, "another identity" in done.text) == (8, True), done.text
    assert sealed.dump() == before
    assert len(list((sealed.folder / ".ci-migrate" / "backups").iterdir())) == count, (
        "no safety backup was taken"
    )
    (sealed.folder / "key.txt").chmod(0o640)
    done = sealed.run("run")
    assert (done.code, "chmod 600" in done.text) == (2, True), done.text


def test_S1_env_py_does_not_get_the_key(sealed, key):
    settings = (sealed.folder / "ci-migrate.toml").read_text()
    sealed.settings(settings.replace("file:key.txt", "env:BACKUP_KEY"))
    env = sealed.folder / "migrations" / "env.py"
    env.write_text("import os\nassert 'BACKUP_KEY' not in os.environ\n" + env.read_text())
    done = sealed.run("run", env={"BACKUP_KEY": str(key)})
    assert done.code == 0, done.text
    assert str(key) not in done.text
    done = sealed.run("run", env={"BACKUP_KEY": ""})
    assert (done.code, "BACKUP_KEY is not set" in done.text) == (2, True), done.text

"""`ci-migrate backup create|list|show|verify|copy|restore|delete|prune`."""

import hashlib
import json
import sqlite3
from contextlib import closing

from ci_migrate.databases.compression import compress, decompress


def ids(project) -> list[str]:
    return [b["backupId"] for b in json.loads(project.call("backup", "list", "--json").out)]


def test_from_create_to_delete(migrated):
    (first,) = ids(migrated)
    created = migrated.call("backup", "create")
    assert created.code == 0, created.text
    name = created.out.split()[0]
    assert ids(migrated) == [first, name]
    shown = json.loads(migrated.call("backup", "show", name).out)
    assert shown["rowCounts"]["users"]["rows"] == 1
    assert "have their checksums" in migrated.call("backup", "verify", name).out
    assert "restored into a scratch copy" in migrated.call("backup", "verify", name, "--restore").out
    copied = migrated.call("backup", "copy", name, "elsewhere")
    assert copied.code == 0, copied.text
    assert (migrated.folder / "elsewhere" / name / "manifest.json").is_file()
    assert migrated.call("backup", "delete", name).out.startswith("Would delete (add --yes)")
    assert ids(migrated) == [first, name]
    assert migrated.call("backup", "delete", name, "--yes").out.startswith("Deleted")
    assert ids(migrated) == [first]
    assert "Nothing to delete." in migrated.call("backup", "prune").out


def test_a_restore_asks_and_keeps_what_it_replaces(migrated, ledger_of):
    name = migrated.call("backup", "create").out.split()[0]
    migrated.sql("insert into users values (2, 'bo', null)")
    refused = migrated.call("backup", "restore", name)
    assert refused.code == 1
    assert "Add --yes" in refused.err
    assert migrated.sql("select count(*) from users") == [(2,)]
    done = migrated.call("backup", "restore", name, "--yes")
    assert done.code == 0, done.text
    assert f"Restored {name}" in done.out
    assert migrated.sql("select name from users") == [("ana",)]
    kinds = [record.kind for record in ledger_of(migrated).audit_records(100)]
    assert "backup restored" in kinds
    assert migrated.call("backup", "restore", "--drop-old").code == 0


def test_a_backup_or_drop_old(alembic_project):
    for arguments in ([], ["b", "--drop-old"], ["--drop-old", "--table", "t"]):
        done = alembic_project.call("backup", "restore", *arguments)
        assert done.code == 2
        assert "either a backup or --drop-old" in done.err


def test_F41_a_backup_with_another_value_and_fitting_checksums_does_not_verify(migrated):
    name = migrated.call("backup", "create").out.split()[0]
    folder = migrated.folder / "backups" / name
    packed, plain = folder / "database.sqlite3.zst", folder / "plain"
    decompress(packed, plain)
    with closing(sqlite3.connect(plain, isolation_level=None)) as connection:
        connection.execute("UPDATE users SET name = 'eve'")
    packed.unlink()
    compress(plain, packed)
    plain.unlink()
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (file,) = manifest["files"]
    file.update(size=packed.stat().st_size, sha256=hashlib.sha256(packed.read_bytes()).hexdigest())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "have their checksums" in migrated.call("backup", "verify", name).out
    told = migrated.call("backup", "verify", name, "--restore")
    assert told.code == 8, told.text
    assert "does not restore to what its manifest says: table users has other values in name" in told.err

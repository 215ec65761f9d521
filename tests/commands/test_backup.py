"""`ci-migrate backup create|list|show|verify|copy|restore|delete|prune`."""

import hashlib
import json
import sqlite3
from contextlib import closing

import pytest
from alembic_project import ended

from ci_migrate.databases.compression import compress, decompress


def backups(project) -> list[dict]:
    return json.loads(ended(project.call("backup", "list", "--json"), 0))


def ids(project) -> list[str]:
    return [b["backupId"] for b in backups(project)]


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
    folder = migrated.folder / ".ci-migrate" / "backups" / name
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


def test_backups_are_there_when_the_target_is_not(migrated):
    name = backups(migrated)[0]["backupId"]
    migrated.database.write_bytes(b"no database at all " * 500)
    (migrated.folder / "app.db.ci-migrate").write_bytes(b"neither " * 500)
    ended(migrated.call("backup", "list"), 0, name, "not known")
    ended(migrated.call("backup", "show", name), 0)
    ended(migrated.call("backup", "verify", name), 0)


def test_restore_over_a_damaged_file(migrated):
    name = ended(migrated.call("backup", "create"), 0).split()[0]
    migrated.database.write_bytes(b"no database at all " * 500)
    ended(migrated.call("backup", "restore", name, "--yes"), 8, "can't be backed up", "--no-safety-backup")
    ended(migrated.call("backup", "restore", name, "--yes", "--no-safety-backup"), 0, "Restored", "not known")
    assert migrated.sql("select name from users") == [("ana",)]


def test_restore_shows_asks_and_keeps_what_it_replaces(migrated):
    name = ended(migrated.call("backup", "create"), 0).split()[0]
    migrated.sql("insert into users values (2, 'bo', null)")
    before = migrated.dump()
    count = len(backups(migrated))
    ended(migrated.call("backup", "restore", name), 1, "users: 2 rows now, 1 row in the backup", "--yes")
    assert migrated.dump() == before
    done = migrated.call("backup", "restore", name, "--yes")
    ended(done, 0, f"Restored {name}")
    assert migrated.sql("select name from users") == [("ana",)]
    assert len(backups(migrated)) == count + 1
    safety = backups(migrated)[-1]["backupId"]
    assert safety in done.text
    ended(migrated.call("backup", "restore", safety, "--yes", "--no-safety-backup"), 0)
    assert migrated.dump() == before, "and back again"
    ended(
        migrated.call("backup", "restore", safety, "--yes"), 0, "changes within rows since then would be lost"
    )


def test_a_damaged_backup_is_refused_and_the_target_stays(migrated):
    name = ended(migrated.call("backup", "create"), 0).split()[0]
    folder = migrated.folder / ".ci-migrate" / "backups" / name
    payload = max((p for p in folder.iterdir() if p.name != "manifest.json"), key=lambda p: p.stat().st_size)
    data = bytearray(payload.read_bytes())
    data[len(data) // 2] ^= 1
    payload.write_bytes(data)
    before = migrated.dump()
    for arguments in (["verify", name], ["verify", name, "--restore"], ["restore", name, "--yes"]):
        done = migrated.call("backup", *arguments)
        ended(done, 8, payload.name)
    assert migrated.dump() == before


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc", "-rf", "", "x" * 300, "backup_r2_20260101_000000", "b\u0430ckup"]
)
def test_no_such_backup(alembic_project, name):
    for verb, flags in (("show", []), ("restore", ["--yes"]), ("delete", ["--yes"])):
        done = alembic_project.call("backup", verb, *flags, "--", name)
        assert done.code in (1, 2, 8), done.text
        assert "Traceback" not in done.text
        assert done.out == ""
        assert 1 <= len(done.err.splitlines()) <= 3, done.err


def test_R10_delete_and_prune_show_first(migrated):
    first = backups(migrated)[0]["backupId"]
    second = ended(migrated.call("backup", "create"), 0).split()[0]
    ended(migrated.call("backup", "delete", second), 0, "Would delete")
    assert len(backups(migrated)) == 2
    ended(migrated.call("backup", "delete", second, "--yes"), 0, "Deleted")
    assert [b["backupId"] for b in backups(migrated)] == [first]
    ended(migrated.call("backup", "prune", "--keep", "1", "--yes"), 0)
    assert [b["backupId"] for b in backups(migrated)] == [first], "never the last proven one"
    for keep in ("0", "-1"):
        done = migrated.call("backup", "prune", f"--keep={keep}", "--yes")
        assert done.code in (1, 2), done.text
    assert len(backups(migrated)) == 1


def test_a_half_written_backup_is_failed(migrated):
    name = ended(migrated.call("backup", "create"), 0).split()[0]
    (migrated.folder / ".ci-migrate" / "backups" / name / "manifest.json").unlink()
    listed = ended(migrated.call("backup", "list"), 0)
    assert "FAILED" in next(line for line in listed.splitlines() if name in line)
    for verb in ("verify", "restore"):
        done = migrated.call("backup", verb, name, *(["--yes"] if verb == "restore" else []))
        assert done.code in (1, 8)
    ended(migrated.call("backup", "delete", name, "--yes"), 0)
    assert name not in ended(migrated.call("backup", "list"), 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["create", "--table", "nowhere"], "--table nowhere: there is none of this name."),
        (["create", "--table", ""], "there is none of this name."),
        (["copy", "BACKUP", "ftp://x/y"], "URL is a ftp:// URL: no plugin writes there."),
        (
            ["restore", "BACKUP", "--table", "nowhere", "--yes"],
            "--table nowhere: there is none of this name.",
        ),
        (["prune", "--keep", "0"], "keep-backups = 0 would remove every backup."),
        (["show", "BACKUP", "more"], "unexpected extra argument"),
    ],
)
def test_arguments_that_make_no_sense(shop, arguments, words):
    name = ids(shop)[0]
    before = shop.dump()
    done = shop.call("backup", *(name if word == "BACKUP" else word for word in arguments))
    ended(done, 2, words)
    assert done.out == ""
    assert shop.dump() == before
    assert len(ids(shop)) == 1


def test_the_same_table_twice_is_one(shop):
    out = ended(
        shop.call("backup", "create", "--table", "users", "--table", "users", "--backup-dir", "twice"), 0
    )
    assert "rows of users " in out


def test_a_copy_is_made_once_and_proven_where_it_is(shop):
    name = ids(shop)[0]
    ended(shop.call("backup", "copy", name, "a b/ü"), 0, "verified in")
    ended(shop.call("backup", "copy", name, "a b/ü"), 1, "already.", "ci-migrate backup verify")
    ended(shop.call("backup", "copy", name, ".ci-migrate/backups"), 1, f"{name} is in", "already.")
    ended(
        shop.call("backup", "verify", name, "--restore", "--backup-dir", "a b/ü"), 0, "equal to its manifest"
    )


def test_a_folder_that_is_not_there_has_no_backups(shop):
    assert ended(shop.call("backup", "list", "--backup-dir", "nowhere"), 0) == "No backups.\n"
    assert json.loads(ended(shop.call("backup", "list", "--backup-dir", "nowhere", "--json"), 0)) == []
    assert not (shop.folder / "nowhere").exists(), "to look is not to make"


def test_a_folder_in_the_home_of_its_user(shop, monkeypatch):
    """In a settings file no shell makes a path of `~`: the backups lay in a folder of that name in the checkout."""
    home = shop.folder / "home"
    name = ids(shop)[0]
    ended(shop.call("backup", "copy", name, "home/backups"), 0)
    out = ended(shop.call("backup", "list", env={"CI_MIGRATE_BACKUP_DIR": "~/backups", "HOME": str(home)}), 0)
    assert name in out
    assert not (shop.folder / "~").exists()

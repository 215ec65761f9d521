"""Backups made, proven, restored and deleted: what each refuses, and what it leaves in the ledger. On SQLite."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from alembic_project import AlembicProject, new_project
from pasted import checked

from ci_migrate.errors import BackupError, RefusedError, UsageError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.model import BackupStatus, TargetState
from ci_migrate.operations import backups
from ci_migrate.operations.backups import Restoring
from ci_migrate.run.run import Run
from ci_migrate.session import GateRequest, open_session
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

TARGETS = 'backup-dir = "./backups"\n[targets.dev]\nurl = "sqlite:///app.db"\n[targets.other]\nurl = "sqlite:///other.db"\n'


@pytest.fixture
def shop(tmp_path) -> AlembicProject:
    """At r2, with one row and one backup of it."""
    project = new_project(tmp_path / "project")
    project.settings('backup-dir = "./backups"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert project.gate("migrate").exit_code == 0
    project.sql("insert into users (name) values ('ana')")
    return project


@contextmanager
def session(project: AlembicProject, verb: str, target: str = "dev") -> Iterator[Run]:
    environ = project.environment(
        {"DATABASE_URL": f"sqlite:///{project.folder / 'other.db'}"} if target == "other" else {}
    )
    settings = load(project.folder, environ, {"target": target})
    with open_session(settings, GateRequest(VERBS[verb]), ledger=True) as run:
        yield run


def restore(project: AlembicProject, backup_id: str, target: str = "dev", **how):
    with session(project, "backup restore", target) as run:
        how = {"sure": lambda _backup, _lost: None, "safety_backup": False, **how}
        return backups.restore_backup(run, run.catalog.get(backup_id), Restoring(**how))


def create(project: AlembicProject, *tables: str):
    with session(project, "backup create") as run:
        return backups.create_backup(run, tables)


def test_a_backup_is_of_where_the_target_is_unless_somebody_says_what_it_is_for(shop):
    with session(shop, "backup create") as run:
        whole = backups.create_backup(run)
        named = backups.create_backup(run, migration_version="v7")
        part = backups.create_backup(run, ["users"])
        with pytest.raises(UsageError, match="nowhere"):
            backups.create_backup(run, ["nowhere"])
    assert (whole.migration_version, named.migration_version) == ("r2", "v7")
    assert (part.partial, part.tables, part.description) == (True, ("users",), "rows of users")


def test_of_many_tables_the_first_are_named(shop):
    for number in range(6):
        shop.sql(f"create table t{number} (id integer)")
    found = create(shop, *(f"t{number}" for number in range(6)))
    assert found.description == "rows of t0, t1, t2, t3, t4 and others"


def test_a_restore_stands_among_the_runs_and_one_that_failed_too(shop):
    backup = create(shop)
    shop.sql("delete from users")
    assert restore(shop, backup.backup_id).startswith(f"Restored {backup.backup_id}.")
    assert shop.sql("select name from users") == [("ana",)]
    payload = next(p for p in (shop.folder / "backups" / backup.backup_id).iterdir() if p.suffix == ".zst")
    payload.write_bytes(payload.read_bytes()[:-9] + b"123456789")
    before = shop.dump()
    with pytest.raises(BackupError):
        restore(shop, backup.backup_id)
    assert shop.dump() == before
    with session(shop, "history") as run:
        failed, done = run.ledger.history(run.ledger.database_id(run.database.identity()), limit=2)
    assert (done.command, done.exit_code, done.state) == ("backup restore", 0, TargetState.MIGRATED)
    assert (failed.command, failed.exit_code, failed.needs_repair) == ("backup restore", 8, False)
    assert failed.backup_id == backup.backup_id


def test_what_a_restore_replaces_is_shown_first_and_backed_up(shop):
    backup = create(shop)
    shop.sql("insert into users (name) values ('bo')")
    shown = []
    with pytest.raises(KeyboardInterrupt):
        restore(shop, backup.backup_id, sure=lambda _backup, lost: (shown.append(lost), raise_interrupt()))
    assert shown == [{"users": (2, 1)}]
    assert shop.sql("select count(*) from users") == [(2,)], "nobody was sure"
    words = restore(shop, backup.backup_id, safety_backup=True)
    safety = words.rpartition("What it held before is also in ")[2].rstrip(".")
    assert safety.startswith("backup_r2_")
    restore(shop, safety)
    assert shop.sql("select count(*) from users") == [(2,)]


def raise_interrupt():
    raise KeyboardInterrupt


def test_one_table_comes_back_and_never_alembics_own(shop):
    backup = create(shop)
    shop.sql("update users set name = 'eve'")
    with pytest.raises(RefusedError, match="alembic_version is Alembic's own"):
        restore(shop, backup.backup_id, tables=["alembic_version"])
    words = restore(shop, backup.backup_id, tables=["users"])
    assert words.startswith(f"Restored from {backup.backup_id}: ")
    assert shop.sql("select name from users") == [("ana",)]
    with shop.ledger() as ledger:
        (record,) = [r for r in ledger.audit_records(50) if r.kind == "tables restored"]
    assert record.facts["tables"] == "users"


def test_another_databases_backup_is_refused_with_both_ways(shop):
    backup = create(shop)
    shop.settings(TARGETS)
    shutil.copy(shop.database, shop.folder / "other.db")
    with pytest.raises(RefusedError, match="not of target other") as refused:
        restore(shop, backup.backup_id, "other")
    commands = checked(refused.value.hint.splitlines())
    assert commands == [
        "ci-migrate backup list --target other",
        f"ci-migrate backup restore {backup.backup_id} --target other --from-other-database",
    ]
    assert restore(shop, backup.backup_id, "other", from_other_database=True)


def test_what_was_never_finished_or_cannot_be_read_is_not_restored(shop):
    backup = create(shop)
    broken = msgspec.structs.replace(backup, status=BackupStatus.FAILED)
    with pytest.raises(RefusedError, match="never finished") as refused:
        backups.complete(broken)
    assert checked(refused.value.hint.splitlines()) == [f"ci-migrate backup delete {backup.backup_id} --yes"]
    unread = msgspec.structs.replace(backup, status=BackupStatus.UNREADABLE)
    with pytest.raises(RefusedError, match="It may be a sound backup"):
        backups.complete(unread)
    assert backups.complete(backup) is backup


def test_a_backup_is_verified_by_its_files_and_by_a_restore(shop):
    backup = create(shop)
    with session(shop, "backup verify") as run:
        files = len(backup.files)
        assert backups.verify_files(run.catalog, backup) == (
            f"{backup.backup_id}: all {files} files have their checksums."
        )
        words = backups.verify_by_restore(run, backup)
        assert words.startswith(f"{backup.backup_id}: restored into a scratch copy; equal to its manifest: ")
        assert "heads" in words
        manifest = shop.folder / "backups" / backup.backup_id / "manifest.json"
        told = json.loads(manifest.read_text())
        told["rowCounts"]["users"]["rows"] = 5
        told["contents"] = {}
        manifest.write_text(json.dumps(told))
        with pytest.raises(BackupError, match="does not restore to what its manifest says"):
            backups.verify_by_restore(run, run.catalog.get(backup.backup_id))


def test_without_being_sure_nothing_is_deleted_and_the_rollback_path_never(shop):
    first, second = create(shop), create(shop)
    with session(shop, "backup delete") as run:
        assert backups.delete_backup(run, second.backup_id, sure=False).backup_id == second.backup_id
        assert len(run.catalog.list()) == 3
        backups.delete_backup(run, second.backup_id, sure=True)
        assert second.backup_id not in [b.backup_id for b in run.catalog.list()]
        with pytest.raises(UsageError, match="There is no backup"):
            backups.delete_backup(run, "backup_r9_20200101_000000", sure=True)
        record = next(iter(run.ledger.history(run.ledger.database_id(run.database.identity()), limit=1)))
    with shop.ledger() as ledger:
        ledger.update_run(record.run_id, backup_id=first.backup_id)
    shop.leave_unfinished(record.run_id)
    with session(shop, "backup delete") as run:
        with pytest.raises(RefusedError, match="is the backup of the unfinished run") as refused:
            backups.delete_backup(run, first.backup_id, sure=True)
        assert checked([refused.value.hint]) == ["ci-migrate repair --target dev"]
        kept = [b.backup_id for b in backups.prune_backups(run, 1, sure=True)]
        assert first.backup_id not in kept


def test_another_targets_backup_is_not_deleted_from_here(shop):
    backup = create(shop)
    shop.settings(TARGETS)
    shutil.copy(shop.database, shop.folder / "other.db")
    with session(shop, "backup delete", "other") as run:
        with pytest.raises(RefusedError) as refused:
            backups.delete_backup(run, backup.backup_id, sure=True)
        assert checked([refused.value.hint]) == [f"ci-migrate backup delete {backup.backup_id} --target dev"]
        assert backups.prune_backups(run, 1, sure=True) == [], "those of others do not count"
    assert (shop.folder / "backups" / backup.backup_id / "manifest.json").exists()


def test_a_list_says_why_nobody_knows_which_are_proven(shop):
    backup = create(shop)
    for name in ("app.db", "app.db.ci-migrate"):
        (shop.folder / name).write_bytes(b"no database at all " * 500)
    settings = load(shop.folder, shop.environment(), {})
    found, proven, why = backups.list_backups(settings, Interrupt())
    assert backup.backup_id in [b.backup_id for b in found]
    assert proven == set()
    assert "app.db" in why


def test_an_approval_of_a_restore_is_of_this_manifest_and_place(shop):
    backup = create(shop)
    with session(shop, "backup restore") as run:
        asked = backups.restoration_of(run, backup)
        other = backups.restoration_of(run, msgspec.structs.replace(backup, description="another"))
    assert (asked.target, asked.backup_id, asked.heads) == ("dev", backup.backup_id, ("r2",))
    assert asked.place == str(shop.folder / "backups")
    assert asked.manifest_sha256 != other.manifest_sha256


def test_what_a_restore_kept_is_named_and_then_dropped(shop):
    restore(shop, create(shop).backup_id)
    kept = sorted(p.name for p in shop.folder.glob("app.db.before_*"))
    assert len(kept) == 1
    with session(shop, "backup restore") as run:
        assert backups.drop_old(run, sure=False) == kept
        assert (shop.folder / kept[0]).exists()
        assert backups.drop_old(run, sure=True) == kept
        assert not (shop.folder / kept[0]).exists()
        assert backups.drop_old(run, sure=True) == []


def test_the_same_backup_can_be_restored_as_often_as_one_likes(shop):
    backup = create(shop)
    before = shop.dump()
    for _ in range(2):
        shop.sql("delete from users")
        restore(shop, backup.backup_id)
        assert shop.dump() == before
    assert len(list(shop.folder.glob("app.db.before_*"))) == 2, "each time what was there is kept"


def test_a_restore_of_another_revision_brings_its_heads(shop):
    """The backup that the first migration took is of an empty database."""
    empty = next((shop.folder / "backups").glob("backup_base_*")).name
    restore(shop, empty)
    assert shop.heads == []
    assert shop.sql("select count(*) from sqlite_master where name = 'users'") == [(0,)]
    with session(shop, "history") as run:
        (last, _) = run.ledger.history(run.ledger.database_id(run.database.identity()), limit=2)
    assert [(c.from_heads, c.to_heads) for c in last.plan.contexts] == [(("r2",), ())]


def test_rows_of_one_table_are_no_whole_backup(shop):
    part = create(shop, "users")
    shop.sql("create table more (id integer)")
    before = shop.dump()
    with pytest.raises((RefusedError, BackupError)) as refused:
        restore(shop, part.backup_id)
    assert part.backup_id in refused.value.what
    assert shop.dump() == before
    shop.sql("delete from users")
    restore(shop, part.backup_id, tables=["users"])
    assert shop.sql("select name from users") == [("ana",)]


@pytest.mark.parametrize("table", ["größe", "two words", 'a"b', "sElEcT", "x" * 60, "日本"])
def test_tables_with_odd_names(shop, table):
    quoted = '"' + table.replace('"', '""') + '"'
    shop.sql(f"create table {quoted} (id integer primary key, {quoted} text)")
    shop.sql(f"insert into {quoted} values (1, 'a')")
    backup = create(shop, table)
    assert (backup.tables, backup.row_counts[table].rows) == ((table,), 1)
    shop.sql(f"delete from {quoted}")
    restore(shop, backup.backup_id, tables=[table])
    assert shop.sql(f"select * from {quoted}") == [(1, "a")]


def test_where_nobody_knows_what_would_be_lost_that_is_shown(shop):
    backup = create(shop)
    shop.database.write_bytes(b"no database at all " * 500)
    shown = []
    restore(shop, backup.backup_id, sure=lambda _backup, lost: shown.append(lost))
    assert shown == [None]
    assert shop.sql("select name from users") == [("ana",)]


def test_what_can_not_be_backed_up_is_not_replaced(shop):
    backup = create(shop)
    damaged = b"no database at all " * 500
    shop.database.write_bytes(damaged)
    with pytest.raises(BackupError, match="What is there now can't be backed up") as refused:
        restore(shop, backup.backup_id, safety_backup=True)
    assert shop.database.read_bytes() == damaged
    commands = checked(refused.value.hint.splitlines())
    assert commands == [f"ci-migrate backup restore {backup.backup_id} --target dev --no-safety-backup"]

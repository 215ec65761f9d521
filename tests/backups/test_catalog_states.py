"""Whatever is done to a catalog, in any order, killed or not: complete backups restore, and the floor holds."""

import os
import shutil
import signal
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from backups_support import owner_of_all
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from permits import delete, prune, restored
from sqlalchemy import URL

from ci_migrate.backups.catalog import Catalog
from ci_migrate.backups.storage import LocalStorage
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import UsageError
from ci_migrate.model import Backup, BackupStatus, Fingerprint, VersionTable


def in_a_child_that_is_killed(action, owner, name: str) -> None:
    """Runs an action in a copy of this process, which dies where it would call `owner.name`."""
    pid = os.fork()
    if not pid:
        try:
            setattr(owner, name, lambda *_args, **_options: os.kill(os.getpid(), signal.SIGKILL))
            action()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


class Catalogs(RuleBasedStateMachine):
    backups = Bundle("backups")

    @initialize(target=backups)
    def start(self) -> object:
        self.folder = Path(tempfile.mkdtemp(prefix="cim-states-"))
        self.file = self.folder / "app.db"
        self.catalog = Catalog(LocalStorage(self.folder / "backups"))
        self.database = SQLite(URL.create("sqlite", database=str(self.file)))
        self.there: dict[str, tuple[Backup, list[str]]] = {}
        self.proven: list[str] = []
        self.number = 0
        self.sql("CREATE TABLE alembic_version (version_num)", "INSERT INTO alembic_version VALUES ('r0')")
        return multiple(
            *(self.migrate_and_create(1, "v1") for _ in range(4))
        )  # enough for a prune to remove some

    def migrate_and_create(self, rows: int, version: str) -> str:
        self.migrate(rows)
        return self.create(version)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def sql(self, *statements: str) -> None:
        with closing(sqlite3.connect(self.file)) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    def dump(self) -> list[str]:
        with closing(sqlite3.connect(self.file)) as connection:
            return list(connection.iterdump())

    def take(self, version: str) -> Backup:
        return self.catalog.create(
            self.database, target="dev", version_tables=[VersionTable()], migration_version=version
        )

    @rule(rows=st.integers(0, 3))
    def migration(self, rows: int) -> None:
        self.migrate(rows)

    def migrate(self, rows: int) -> None:
        self.number += 1
        self.sql(
            f"CREATE TABLE t{self.number} (x)",
            *(f"INSERT INTO t{self.number} VALUES ({row})" for row in range(rows)),
            f"UPDATE alembic_version SET version_num = 'r{self.number}'",
        )

    @rule(target=backups, version=st.sampled_from(["v1", "v2"]))
    def creation(self, version: str) -> str:
        return self.create(version)

    def create(self, version: str) -> str:
        backup = self.take(version)
        self.there[backup.backup_id] = backup, self.dump()
        return backup.backup_id

    @rule(error=st.sampled_from([OSError(28, "No space"), KeyboardInterrupt(), RuntimeError("x")]))
    def create_that_fails(self, error: BaseException) -> None:
        def fail(*_arguments):
            raise error

        self.catalog.storage.publish = fail
        with pytest.raises(BaseException):  # noqa: B017
            self.take("v1")
        del self.catalog.storage.publish

    @rule(place=st.sampled_from([(Path, "rename"), (SQLite, "dump")]))
    def create_that_is_killed(self, place) -> None:
        in_a_child_that_is_killed(lambda: self.take("v1"), *place)

    @rule(backup_id=consumes(backups))
    def delete(self, backup_id: str) -> None:
        # within one second a killed creation may get the id of a deleted backup, and can be deleted too
        if self.there.pop(backup_id, None) is None and backup_id not in self.catalog.storage.ids():
            with pytest.raises(UsageError):
                delete(self.catalog, backup_id)
        else:
            delete(self.catalog, backup_id)

    @rule(backup_id=backups)
    def delete_that_is_killed(self, backup_id: str) -> None:
        if self.there.pop(backup_id, None) is not None:
            in_a_child_that_is_killed(lambda: delete(self.catalog, backup_id), shutil, "rmtree")

    @rule()
    def sweep_an_hour_later(self) -> None:
        for folder in (self.folder / "backups").glob("backup_*"):
            os.utime(folder, (time.time() - 3600,) * 2)
        self.catalog.sweep()
        assert {b.backup_id for b in self.catalog.list()} == self.there.keys()

    @rule(backup_id=backups)
    def verify_and_restore(self, backup_id: str) -> None:
        if backup_id not in self.there:
            if backup_id in self.catalog.storage.ids():  # a killed creation got the id of a deleted backup
                assert self.catalog.get(backup_id).status is BackupStatus.FAILED
                return
            with pytest.raises(UsageError):
                self.catalog.get(backup_id)
            return
        backup, rows = self.there[backup_id]
        assert self.catalog.get(backup_id) == backup
        self.catalog.verify(backup)
        restored(self.database, backup, self.catalog)
        assert Fingerprint.of(self.database.schema()) == backup.fingerprint
        assert self.dump() == rows
        self.proven.append(backup_id)

    @rule(keep=st.integers(1, 4))
    def prune(self, keep: int) -> None:
        before = list(self.there)
        proven = [backup_id for backup_id in before if backup_id in self.proven]
        told = prune(self.catalog, keep, owner_of_all(self.catalog), proven=self.proven, dry=True)
        assert prune(self.catalog, keep, owner_of_all(self.catalog), proven=self.proven, dry=False) == told
        for backup in told:
            del self.there[backup.backup_id]
        assert list(self.there)[-keep:] == before[-keep:]
        assert not proven or proven[-1] in self.there

    @invariant()
    def what_is_listed_is_what_is_there(self) -> None:
        if hasattr(self, "there"):
            complete = [b.backup_id for b in self.catalog.list() if b.status is BackupStatus.SUCCESS]
            assert complete == list(self.there)


def run(examples: int, steps: int) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        Catalogs,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_order_of_events() -> None:
    run(examples=15, steps=20)


@pytest.mark.long
def test_any_order_of_many_events() -> None:
    run(examples=150, steps=40)

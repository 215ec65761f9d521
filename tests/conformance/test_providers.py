"""The suite for providers, over the scripts of the examples and each kind of commands that the documentation tells of."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from ci_migrate.testing.providers import HOLDER, ProviderConformance, ProviderUnderTest

EXAMPLES = Path(__file__).parents[2] / "examples" / "physical-backups"

SCRIPT = Path(__file__).parents[1] / "support" / "sqlite_provider.py"


def listed(store: Path) -> list[str]:
    """What lies in a folder and counts: what is begun has a name of its own."""
    return [path.name for path in store.iterdir() if not path.name.endswith(".new")]


def damage(folder: Path) -> None:
    """Overwrite each large file below a folder in the middle."""
    assert folder.exists()
    for file in [folder, *folder.rglob("*")]:
        if file.is_file() and file.stat().st_size > 4096:
            data = bytearray(file.read_bytes())
            data[len(data) // 4 : len(data) // 4 * 3] = os.urandom(len(data) // 4 * 3 - len(data) // 4)
            file.write_bytes(data)


def hold(notes: Path, *argv: str, after: float = 0) -> int:
    environ = {**os.environ, "CI_MIGRATE_PROVIDER_URL": "postgresql://a:p%40ss-word@h/shop"}
    return subprocess.run(
        [sys.executable, HOLDER, notes, str(after), "command", *argv], env=environ, check=False
    ).returncode


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux shows arguments in /proc")
@pytest.mark.parametrize("password", ["p@ss-word", "p%40ss-word"])
def test_a_password_in_an_argument_is_seen_also_before_the_last_command(tmp_path, password):
    notes = tmp_path / "notes"
    shell = ["sh", "-c", f"sleep 1 # {password}"]
    assert hold(notes, "true") == 0
    assert json.loads(notes.read_text())["shown"] is False
    assert hold(notes, *shell) == 0
    assert hold(notes, "sh", "-c", "exit 3") == 3
    assert json.loads(notes.read_text())["shown"] is True


def test_a_command_is_killed_with_what_it_started(tmp_path):
    late = tmp_path / "late"
    assert hold(tmp_path / "notes", "sh", "-c", f"(sleep 2; touch {late}) & wait", after=0.3) == 1
    assert json.loads((tmp_path / "notes").read_text())["killed"] is True
    time.sleep(2.5)
    assert not late.exists()


class OnSQLite(ProviderConformance):
    verbs: tuple[str, ...]

    @pytest.fixture
    def provider(self, tmp_path):
        store = tmp_path / "store"
        store.mkdir()
        return ProviderUnderTest(
            url=sa.URL.create("sqlite", database=str(tmp_path / "any.db")),
            commands={v: [sys.executable, str(SCRIPT), v, str(store), "{id}"] for v in self.verbs},
            kept=lambda: listed(store),
            damage=lambda name: damage(store / name),
        )


@pytest.mark.slow
class TestAURLOfAClone(OnSQLite):
    """What is restored is taken from it."""

    verbs = ("create", "clone", "drop", "delete")


@pytest.mark.long
class TestARestoreInPlace(OnSQLite):
    """The provider's own, proved by a clone."""

    verbs = ("create", "clone", "drop", "restore", "delete")


@pytest.mark.long
class TestNoClone(OnSQLite):
    """Unproven backups; only the provider can restore them."""

    verbs = ("create", "restore", "delete")


def commands(script: str, *arguments: str, clone=("{id}", "{folder}"), create=("{id}",), drop=()):
    start = [sys.executable, str(EXAMPLES / script)]
    made = {
        "create": [*start, "create", *arguments, *create],
        "clone": [*start, "clone", *arguments, *clone],
        "delete": [*start, "delete", *arguments, "{id}"],
    }
    return made | ({"drop": [*start, "drop", *arguments, *drop]} if drop else {})


@pytest.mark.long
class TestPgBasebackup(ProviderConformance):
    @pytest.fixture
    def provider(self, postgresql_server, postgresql_bin, tmp_path):
        if not (postgresql_bin / "pg_verifybackup").exists():
            pytest.skip(f"there is no pg_verifybackup in {postgresql_bin}")
        store = tmp_path / "it's a store"
        store.mkdir()
        return ProviderUnderTest(
            url=postgresql_server.admin_url.set(drivername="postgresql+psycopg"),
            commands=commands("postgresql.py", str(store)),
            kept=lambda: listed(store),
            damage=lambda name: damage(store / name / "data" / "base"),
            environ={"PATH": f"{postgresql_bin}:{os.environ['PATH']}"},
        )


@pytest.mark.long
class TestMariadbBackup(ProviderConformance):
    @pytest.fixture
    def provider(self, mariadb_server, tmp_path):
        if shutil.which("mariadb-backup") is None:
            pytest.skip("there is no mariadb-backup (Debian: mariadb-backup)")
        store = tmp_path / "it's a store"
        store.mkdir()
        return ProviderUnderTest(
            url=mariadb_server.admin_url,
            commands=commands("mariadb.py", str(store)),
            kept=lambda: listed(store),
            damage=lambda name: damage(store / name),
        )


@pytest.mark.long
class TestPgBackRest(ProviderConformance):
    @pytest.fixture
    def provider(self, archived_postgresql):
        server, environ = archived_postgresql
        start = ["pgbackrest", f"--config={environ['PGBACKREST_CONFIG']}", "--stanza=shop"]

        # as a schedule makes it
        subprocess.run([*start, "--type=full", "backup"], check=True, env={**os.environ, **environ})

        def labels():
            told = subprocess.run([*start, "--output=json", "info"], check=True, capture_output=True).stdout
            return [backup["label"] for backup in json.loads(told)[0]["backup"]]

        return ProviderUnderTest(
            url=server.admin_url.set(drivername="postgresql+psycopg"),
            commands=commands("pgbackrest.py", "shop", create=()),
            kept=labels,
            damage=lambda label: damage(
                Path(environ["PGBACKREST_CONFIG"]).parent / "repo1/backup/shop" / label
            ),
            environ=environ,
        )


@pytest.mark.long
@pytest.mark.parametrize("mounted", ["btrfs"], indirect=True)
class TestBtrfs(ProviderConformance):
    @pytest.fixture
    def provider(self, start_postgresql, mounted):
        def subvolume(data: Path) -> None:
            subprocess.run(["btrfs", "-q", "subvolume", "create", str(data)], check=True)

        with start_postgresql(place=str(mounted), prepare=subvolume) as server:
            store = mounted / "it's a store"
            store.mkdir()
            yield ProviderUnderTest(
                url=server.admin_url.set(drivername="postgresql+psycopg"),
                commands=commands("btrfs.py", str(server.data), str(store), clone=("{id}",), drop=("{id}",)),
                kept=lambda: listed(store),
                damage=None,  # btrfs itself has checksums of all blocks
            )


def database_names(server):
    with psycopg.connect(server.admin_url.render_as_string(hide_password=False)) as session:
        return {name for (name,) in session.execute("SELECT datname FROM pg_database")}


@pytest.mark.long
@pytest.mark.parametrize("mounted", ["btrfs", "xfs"], indirect=True)
class TestPgClone(ProviderConformance):
    """On file systems that share blocks, by PostgreSQL 18."""

    @pytest.fixture
    def server(self, start_postgresql_of, wheel, mounted):
        with start_postgresql_of(wheel, place=str(mounted)) as server:  # PostgreSQL 18 or newer
            yield server

    @pytest.fixture
    def provider(self, server):
        url = server.admin_url.render_as_string(hide_password=False)
        start = [sys.executable, str(EXAMPLES / "pgclone.py")]
        return ProviderUnderTest(
            url=server.admin_url.set(drivername="postgresql+psycopg"),
            commands={verb: [*start, verb, "{id}"] for verb in ("create", "clone", "drop", "delete")},
            kept=lambda: {
                name
                for name in database_names(server)
                if name.startswith("backup_") and not name.endswith("_new")
            },
            environ={"PATH": f"{server.binaries}:{os.environ['PATH']}", "PGCLONE_URL": url},
        )

    def test_backup_and_clone_share_their_blocks(self, shop, server, mounted):
        """Each is a whole database, and takes next to no room."""
        url = server.url(shop.url.database).render_as_string(hide_password=False)
        with psycopg.connect(url, autocommit=True) as session:
            rows = "select n, repeat(md5(n::text), 30) as words from generate_series(1, 60000) n"
            session.execute(f"create table big with (autovacuum_enabled = off) as {rows}")
            session.execute("vacuum (freeze, analyze) big")  # nothing is left to be written where it is read
            session.execute("checkpoint")
            (size,) = session.execute("select pg_database_size(current_database())").fetchone()
        before = used(mounted)
        name, provider_id = shop.backup()
        shop.by_hand("clone", provider_id)
        assert size > 60_000_000
        assert used(mounted) - before < size / 5, "WAL and catalogs apart, nothing was written"
        shop.prove(name)


def used(folder: Path) -> int:
    subprocess.run(["sync", "-f", str(folder)], check=True)
    return shutil.disk_usage(folder).used

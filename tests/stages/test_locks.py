"""The run lock, other tools and other clients while a target migrates."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic_project import COMMAND
from faults_support import as_told
from kill_support import R1, R1_BACK, R2, R2_BACK, Shop, new_shop, only_for_real
from sqlalchemy import make_url

from ci_migrate.databases.mysql.lock import lock_name
from ci_migrate.databases.postgresql.lock import lock_key
from ci_migrate.repairs import watcher as watch

ENGINES = ("sqlite", "postgresql", "mariadb")


@pytest.fixture
def make_shop(request, tmp_path) -> Callable[..., Shop]:
    def make(engine: str, settings: str = "", mode: str = "default") -> Shop:
        name = {"postgresql": "postgresql_url", "mariadb": "mysql_url"}.get(engine)
        url = request.getfixturevalue(name) if name else None
        return new_shop(tmp_path, url, mode=mode, settings=settings)

    return make


def once(shop: Shop, code: str) -> str:
    """Code of a revision that runs in the first migration of the target, and never again."""
    marker = str(shop.folder / "once")
    return only_for_real(
        f"if not os.path.exists({marker!r}):\n    open({marker!r}, 'w').close()\n"
        + "\n".join(f"    {line}" for line in code.strip().splitlines())
    )


def cutting(shop: Shop) -> str:
    """Code that takes the run lock away, by a process that the gate knows nothing of."""
    url = make_url(shop.url)
    if url.get_backend_name() == "sqlite":
        return f"os.unlink({str(shop.database) + '.ci-migrate.lock'!r})"
    if url.get_backend_name() == "postgresql":
        sql = f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = {_low_key(shop)}"
    else:
        sql = f"EXECUTE IMMEDIATE CONCAT('KILL ', IS_USED_LOCK('{lock_name(str(url.database))}'))"
    program = (
        f"from sqlalchemy import create_engine, text\n"
        f"with create_engine({shop.url!r}, isolation_level='AUTOCOMMIT').connect() as c: c.execute(text({sql!r}))"
    )
    return f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {program!r}], check=True)"


def _low_key(shop: Shop) -> int:
    return lock_key(str(make_url(shop.url).database)) & 0xFFFFFFFF


# --------------------------------------------------------------------------- runners that race

RUNNERS = [
    ("sqlite", 6),
    *(pytest.param(engine, 16, marks=pytest.mark.long) for engine in ENGINES),
]


@pytest.mark.parametrize(("engine", "number"), RUNNERS)
def test_L1_of_many_runners_at_once_one_migrates(engine, number, make_shop) -> None:
    """The others wait and find nothing to do, or say who holds the lock."""
    shop = make_shop(engine)
    shop.settings('backup-dir = "./backups"\n[targets.dev]\nurl = "env:DATABASE_URL"\n')
    runners = [
        subprocess.Popen(
            [*COMMAND, "run", "--report-dir", f"reports-{n}"], cwd=shop.folder, env=shop.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for n in range(number)
    ]  # fmt: skip
    ended = [(runner.communicate(timeout=300)[0], runner.returncode) for runner in runners]
    migrated = [out for out, code in ended if code == 0 and "3 revisions run" in out]
    nothing = [out for out, code in ended if code == 0 and "3 revisions run" not in out]
    refused = [out for out, code in ended if code == 5]
    assert len(migrated) == 1, ended
    assert len(migrated) + len(nothing) + len(refused) == number, [e for e in ended if e[1] not in (0, 5)]
    assert all("nothing" in out.lower() for out in nothing), nothing
    assert shop.heads_now() == ["r3"]
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)) + 30,)]


# --------------------------------------------------------------------------- the lock is lost


@pytest.mark.parametrize("engine", ENGINES)
def test_L6_a_lost_lock_stops_at_a_statement_boundary(engine, make_shop, monkeypatch) -> None:
    """It is taken anew for the repair; then the run goes on to the end as told."""
    monkeypatch.setattr(watch, "LOCK_CHECK_SECONDS", 0)
    shop = make_shop(engine)
    shop.revision(
        "r1", "r0", R1 + once(shop, cutting(shop)) + '\nop.execute("UPDATE customers SET points = points")', R1_BACK
    )  # fmt: skip
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.stage("migrate")["outcome"] == "failed", done.text
    assert "lock" in done.stage("migrate")["message"]
    if engine != "mariadb":
        assert done.code == 6, done.text
        assert shop.everything_in_it() == before
    else:
        assert done.code in (6, 7), done.text
    as_told(shop)
    assert shop.heads_now() == ["r3"]


def test_L6_without_the_lock_nothing_is_mended(make_shop, monkeypatch, postgresql_url) -> None:
    """Somebody else took it the moment it was lost: what state the target is in is recorded, a later repair proves it."""
    import psycopg

    monkeypatch.setattr(watch, "LOCK_CHECK_SECONDS", 0)
    monkeypatch.setattr("ci_migrate.stages.repair.RELOCK_SECONDS", 0.3)
    shop = make_shop("postgresql")
    taken = shop.folder / "taken"
    wait = f"import time\nend = time.monotonic() + 60\nwhile not os.path.exists({str(taken)!r}) and time.monotonic() < end: time.sleep(0.02)"
    shop.revision(
        "r1", "r0", R1 + once(shop, f"{cutting(shop)}\n{wait}") + '\nop.execute("UPDATE customers SET points = 0")'
    )  # fmt: skip
    key = lock_key(str(postgresql_url.database))
    admin = postgresql_url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as other:

        def take() -> None:
            while not (shop.folder / "once").exists():
                time.sleep(0.02)
            other.execute(f"SELECT pg_advisory_lock({key})")
            taken.touch()

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        done = shop.here("run")
        thread.join(30)
    assert done.code == 7, done.text
    assert "Nothing is mended without it" in done.stage("repair")["message"], done.text
    assert shop.here("run").code == 7
    assert shop.here("repair").code == 0


def test_L6_a_lock_that_was_lost_at_the_end_is_a_loud_warning(make_shop) -> None:
    """The migration went well, and says so: the code stays 0."""
    shop = make_shop("postgresql")
    script = shop.folder / "cut.py"
    cut = cutting(shop)
    script.write_text(
        "from ci_migrate import hookimpl\nimport os\n\n@hookimpl\ndef ci_migrate_after_stage(result):\n"
        "    if result.stage == 'verify':\n"
        + "\n".join(f"        {line}" for line in cut.strip().splitlines())
        + "\n"
    )
    toml = shop.folder / "ci-migrate.toml"
    toml.write_text(f'plugins = ["cut.py"]\n{toml.read_text()}')
    done = shop.here("run")
    assert done.code == 0, done.text
    assert "WARNING" in done.text
    assert "run lock" in done.text
    assert "was lost" in done.text


# --------------------------------------------------------------------------- other tools


@pytest.mark.parametrize(
    "engine", ["sqlite", *(pytest.param(e, marks=pytest.mark.long) for e in ENGINES[1:])]
)
def test_L7_plain_alembic_meanwhile(engine, make_shop) -> None:
    """It runs r2 and r3 while we stand before r2: nothing runs twice, and the words say where the target is."""
    shop = make_shop(engine, mode="per-migration")
    code = (
        "import subprocess, sys\n"
        "plain = {k: v for k, v in os.environ.items() if not k.startswith('CI_MIGRATE')}\n"
        "subprocess.run([sys.executable, '-m', 'alembic', 'upgrade', 'head'], env=plain, check=True)"
    )
    points = '\nop.execute("UPDATE customers SET points = points + 1")'
    shop.revision("r2", "r1", once(shop, code) + R2 + points, R2_BACK)
    done = shop.here("run")
    assert done.code == 7, done.text
    assert done.stage("migrate")["outcome"] == "failed"
    assert shop.heads_now() == ["r3"]
    assert "Traceback" not in done.text
    as_told(shop)
    assert shop.heads_now() == ["r3"]
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)) + 30,)]
    assert shop.query("SELECT count(*) FROM invoices") == [(3,)]


HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/locks")
def test_L9_on_sqlite_the_process_that_holds_the_lock_is_named(make_shop) -> None:
    shop = make_shop("sqlite", "lock-timeout = 0.2\nlock-tries = 2")
    before = shop.everything_in_it()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(shop.database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        done = shop.here("run")
        holder.stdin.close()
    assert done.code == 6, done.text
    message = done.stage("migrate")["message"]
    assert f"In the way: pid {holder.pid}, python" in message, message
    assert "holds a write lock" in message
    assert shop.everything_in_it() == before


def test_L9_the_holder_that_is_this_process_is_nobody(tmp_path) -> None:
    from ci_migrate.databases.file_lock import lock_holders

    assert lock_holders(Path(os.devnull), tmp_path / "nothing") == []


# --------------------------------------------------------------------------- time


@pytest.mark.long
def test_M17_max_duration_on_mariadb(make_shop) -> None:
    shop = make_shop("mariadb", "max-duration = 3")
    points = '\nop.execute("UPDATE customers SET points = points")'
    shop.revision("r1", "r0", R1 + once(shop, "time.sleep(3.5)") + points, R1_BACK)
    done = shop.here("run")
    assert done.code in (6, 7), done.text
    assert "max-duration (3 s) is over" in done.stage("migrate")["message"]
    shop.environ["CI_MIGRATE_MAX_DURATION"] = "300"
    as_told(shop)
    assert shop.heads_now() == ["r3"]


# --------------------------------------------------------------------------- what the rehearsal catches


def test_M5_a_new_value_of_an_enum_is_not_used_before_it_is_committed(make_shop) -> None:
    """Caught on the copy, with the fix named; with the fix it runs."""
    shop = make_shop("postgresql")
    shop.query("CREATE TYPE mood AS ENUM ('sad')")
    shop.query("CREATE TABLE people (id integer, mood mood)")
    add = "op.execute(\"ALTER TYPE mood ADD VALUE 'happy'\")"
    use = "\nop.execute(\"INSERT INTO people VALUES (1, 'happy')\")"
    shop.revision("r1", "r0", add + use)
    for later in ("r2", "r3"):
        (shop.folder / f"migrations/versions/{later}.py").unlink()
    done = shop.here("run")
    assert done.code == 1, done.text
    message = done.stage("dry-run")["message"]
    assert "unsafe use of new value" in message
    assert "autocommit_block" in message
    shop.revision("r1", "r0", f"with op.get_context().autocommit_block():\n    {add}{use}")
    again = shop.here("run", "--allow", "CM402=a value of an enum stays")
    assert again.code == 0, again.text
    assert shop.query("SELECT mood::text FROM people") == [("happy",)]

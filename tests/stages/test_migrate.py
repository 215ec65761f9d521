"""Failures in the middle of a migrate: exceptions, locks, time, signals, env.py, the ledger; orphans."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_support import R1, R2, R2_BACK, Shop, new_shop, only_for_real
from sqlalchemy import create_engine, text


@pytest.fixture(params=["sqlite", "postgresql"])
def make_shop(request, tmp_path) -> Callable[..., Shop]:
    def make(mode: str = "per-migration", settings: str = "") -> Shop:
        url = request.getfixturevalue("postgresql_url") if request.param == "postgresql" else None
        return new_shop(tmp_path, url, mode=mode, settings=settings)

    return make


@contextlib.contextmanager
def holding(shop: Shop, *statements: str) -> Iterator[None]:
    """Another client inside of a transaction."""
    engine = create_engine(
        shop.url, connect_args={"application_name": "web"} if "postgresql" in shop.url else {}
    )
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
        yield
        connection.rollback()
    engine.dispose()


def locked(shop: Shop) -> contextlib.AbstractContextManager[None]:
    """A lock on what r1 changes."""
    if "postgresql" in shop.url:
        return holding(shop, "SELECT count(*) FROM customers")
    return holding(shop, "DELETE FROM customers WHERE id = -1")


# --------------------------------------------------------------------------- exceptions

FAILURES = [
    pytest.param(mode, number, id=f"{mode}-{number}", marks=() if number in (2, 7, 13) else pytest.mark.long)
    for mode in ("default", "per-migration")
    for number in range(1, 14)
]


@pytest.mark.parametrize(("mode", "number"), FAILURES)
def test_M2_exception_after_each_statement(mode, number, make_shop) -> None:
    shop = make_shop(mode)
    before = shop.everything_in_it()
    done = shop.gate("run", in_child=f"raise:execute:{number}")
    assert shop.struck
    assert done.stage("migrate")["outcome"] == "failed"
    assert "injected" in done.stage("migrate")["message"]
    assert done.stage("repair")["outcome"] == "passed", done.text
    if done.stage("repair")["state"] == "as before":
        assert done.code == 6
        assert shop.everything_in_it() == before
    else:
        assert done.code == 7
        assert shop.heads_now() in (["r1"], ["r2"])
    again = shop.here("run")
    assert again.code == 0, again.text
    assert shop.heads_now() == ["r3"]
    assert shop.query("SELECT total FROM invoices ORDER BY id") == [(20,), (40,), (60,)]
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)) + 30,)]


# --------------------------------------------------------------------------- locks


def test_L9_a_lock_that_stays_is_tried_again_and_named_and_the_database_is_as_before(make_shop) -> None:
    shop = make_shop("default", "lock-timeout = 0.3\nlock-tries = 2")
    before = shop.everything_in_it()
    with locked(shop):
        done = shop.here("run")
    assert done.code == 6, done.text
    assert "try 1 of 2" in done.text
    message = done.stage("migrate")["message"]
    assert "Tried 2 times" in message
    if "postgresql" in shop.url:
        assert re.search(
            r"In the way: pid \d+, web, user postgres, idle in transaction, in a transaction for \d+ s: SELECT count",
            message,
        )
    assert shop.everything_in_it() == before
    assert shop.here("run").code == 0


def test_who_is_in_the_way_is_said_while_it_waits(make_shop, monkeypatch) -> None:
    monkeypatch.setattr("ci_migrate.run.heartbeat.EVERY", 0.5)
    shop = make_shop("default", "lock-timeout = 2.5\nlock-tries = 1")
    with locked(shop):
        done = shop.here("run")
    assert done.code == 6, done.text
    if "sqlite" in shop.url:  # there it waits before the first statement
        assert re.search(r"\n    \S+: \d+ statements? sent, \d s\n", done.text), done.text
    else:
        assert re.search(r"\n    r1: migrations/versions/r1\.py:\d+ runs for \d s: ALTER TABLE", done.text), (
            done.text
        )
        assert re.search(
            r"waiting for a lock; held up by pid \d+, web, user postgres, idle in transaction",
            " ".join(done.text.split()),
        )


def test_L9_a_lock_that_goes_is_outlived(make_shop) -> None:
    shop = make_shop("default", "lock-timeout = 0.3\nlock-tries = 20")
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(shop))
        done = shop.start("run")
        lines = []
        while "lock timeout" not in "".join(lines):
            line = done.stdout.readline()
            assert line, f"{lines} {done.stderr.read()}"
            lines.append(line)
    out, error = done.communicate(timeout=120)
    assert done.returncode == 0, "".join(lines) + out + error
    assert shop.heads_now() == ["r3"]


def test_a_lock_met_by_a_later_revision_is_tried_again_from_there(make_shop) -> None:
    """r1 is committed; r2 meets a lock, and runs once the lock is gone. Nothing of r1 runs twice."""
    shop = make_shop(settings="lock-timeout = 0.3\nlock-tries = 20")
    shop.query("CREATE TABLE stock (id INTEGER PRIMARY KEY)")
    marker, ready = shop.folder / "marker", shop.folder / "ready"
    wait = f'open({str(marker)!r}, "a").close()\nwhile not os.path.exists({str(ready)!r}): time.sleep(0.05)'
    shop.revision(
        "r2", "r1", only_for_real(wait) + '\nop.add_column("stock", sa.Column("n", sa.Integer))' + R2, R2_BACK
    )
    running = shop.start("run")
    _until(marker.exists, running)
    statement = "SELECT * FROM stock" if "postgresql" in shop.url else "DELETE FROM stock"
    lines: list[str] = []
    with holding(shop, statement):
        ready.touch()
        while "lock timeout in r2" not in "".join(lines):
            line = running.stdout.readline()
            assert line, f"{lines} {running.stderr.read()}"
            lines.append(line)
    out, error = running.communicate(timeout=120)
    assert running.returncode == 0, "".join(lines) + out + error
    assert shop.heads_now() == ["r3"]


def _until(true: Callable[[], bool], running: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
    while not true():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --------------------------------------------------------------------------- time and signals


def test_M17_max_duration_stops_at_a_statement_boundary(make_shop) -> None:
    shop = make_shop("default", "max-duration = 3")
    shop.revision(
        "r1", "r0", R1 + only_for_real("time.sleep(3.5)") + '\nop.execute("UPDATE customers SET points = 0")'
    )
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "max-duration (3 s) is over" in done.stage("migrate")["message"]
    assert shop.everything_in_it() == before


def test_sigterm_in_a_migrate_stops_at_a_boundary_and_proves_what_is_there(make_shop) -> None:
    shop = make_shop("default")
    marker = shop.folder / "marker"
    slow = f'open({str(marker)!r}, "w").close()\ntime.sleep(2)'
    shop.revision("r1", "r0", R1 + only_for_real(slow) + '\nop.execute("UPDATE customers SET points = 0")')
    before = shop.everything_in_it()
    done = shop.interrupted("run", when=marker.exists, number=signal.SIGTERM)
    assert done.code == 143, done.text
    assert done.outcomes["migrate"] == "failed"
    assert done.outcomes["repair"] == "passed"
    assert done.stage("repair")["state"] == "as before"
    assert shop.here("status").code == 0
    assert shop.everything_in_it() == before


def test_a_child_that_hangs_is_ended(make_shop) -> None:
    shop = make_shop("default", "stall-timeout = 6")
    shop.revision("r1", "r0", R1 + only_for_real("time.sleep(600)"))
    before = shop.everything_in_it()
    started = time.monotonic()
    done = shop.here("run")
    assert time.monotonic() - started < 300
    assert done.code == 6, done.text
    assert "stall-timeout" in done.stage("migrate")["message"]
    assert shop.everything_in_it() == before


# --------------------------------------------------------------------------- env.py and the ledger


def test_an_env_py_that_swallows_the_error_is_found_out(make_shop) -> None:
    shop = make_shop("default")
    env = shop.folder / "migrations" / "env.py"
    code = env.read_text().replace(
        "with engine.connect() as connection:",
        "import contextlib\n"
        'real = os.environ["CI_MIGRATE_STAGE"] == "migrate"\n'
        "with contextlib.suppress(Exception if real else ()), engine.connect() as connection:",
    )
    env.write_text(code)
    shop.revision("r1", "r0", R1 + only_for_real('raise ValueError("boom")'))
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert "ended without an error, but the target is at r0" in done.stage("migrate")["message"]
    assert shop.everything_in_it() == before


def test_a_ledger_that_is_lost_in_the_middle_stops_the_migration(make_shop, tmp_path) -> None:
    """Nothing is sent that could not be written down before. The ledger stays lost: manual intervention required."""
    shop = make_shop("default")
    ledger = tmp_path / "app.db.ci-migrate"
    if "postgresql" in shop.url:
        ledger = tmp_path / "ledger.db"
        shop.environ["CI_MIGRATE_STATE"] = f"sqlite:///{ledger}"
    code = f"import sqlite3; c = sqlite3.connect({str(ledger)!r}); c.execute('DROP TABLE ci_migrate_journal'); c.commit()"
    lose = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}], check=True)"
    shop.revision("r1", "r0", R1 + only_for_real(lose) + '\nop.execute("UPDATE customers SET points = 0")')
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 7, done.text
    assert "Traceback" not in done.text
    assert shop.everything_in_it() == before
    assert shop.here("run").code != 0


def test_a_ledger_that_comes_back_is_enough_to_prove(make_shop, request) -> None:
    """PostgreSQL ends the ledger's sessions in the middle: stopped, and proved by a new one."""
    shop = make_shop("default")
    if "postgresql" not in shop.url:
        return
    kick = (
        "from sqlalchemy import create_engine, text\n"
        "with create_engine(os.environ['DATABASE_URL']).connect() as c:\n"
        "    c.execute(text(\"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE '%_ci_migrate'\"))"
    )
    shop.revision("r1", "r0", R1 + only_for_real(kick) + '\nop.execute("UPDATE customers SET points = 0")')
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 6, done.text
    assert shop.everything_in_it() == before


# --------------------------------------------------------------------------- orphans in the server

SLOW = """
import os
seconds = SECONDS if os.environ["CI_MIGRATE_STAGE"] == "migrate" else 0
with op.get_context().autocommit_block():
    op.execute(f"UPDATE customers SET points = points + 1 WHERE pg_sleep({seconds}) IS NOT NULL")
"""
"""Thirty rows, each of them this slow on the target."""


def _children(pid: int) -> list[int]:
    found = [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [grandchild for child in found for grandchild in _children(child)]


@pytest.fixture
def orphaned(request, tmp_path) -> Callable[..., Shop]:
    """A shop in whose server a statement of a killed run still runs, and will commit by itself."""

    def make(*, victims: str, seconds: float, settings: str = "") -> tuple[Shop, "subprocess.Popen[str]"]:
        shop = new_shop(
            tmp_path, request.getfixturevalue("postgresql_url"), mode="per-migration", settings=settings
        )
        shop.revision("r2", "r1", R2 + SLOW.replace("SECONDS", str(seconds)))
        running = shop.start("run")
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
            "AND query LIKE 'UPDATE customers SET points%' AND pid <> pg_backend_pid()"
        )
        slow = f"{busy} AND clock_timestamp() - query_start > interval '0.5 s'"
        _until(lambda: shop.query(slow) == [(1,)], running)
        children = _children(running.pid)
        if victims == "both":
            running.kill()
        for child in children:
            os.kill(child, signal.SIGKILL)
        return shop, running

    return make


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_L2_the_next_command_says_that_an_orphan_is_at_work(orphaned) -> None:
    shop, running = orphaned(victims="both", seconds=0.3)
    running.communicate(timeout=30)
    shop.environ["CI_MIGRATE_RUN_LOCK_TIMEOUT"] = "0"
    done = shop.here("repair")
    assert done.code == 5, done.text
    assert "still at work" in done.text
    assert "pg_terminate_backend" in done.text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_L2_repair_waits_for_the_orphan_and_sees_what_it_committed(orphaned) -> None:
    shop, running = orphaned(victims="both", seconds=0.15, settings='restore = "auto"')
    running.communicate(timeout=30)
    done = shop.here("repair")  # run-lock-timeout is 15 s
    assert done.code == 0, done.text
    assert done.stage("repair")["diagnosis"]["found"] == "half a revision", done.text
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)),)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_the_parent_waits_for_the_orphan_of_its_child_before_it_diagnoses(orphaned) -> None:
    shop, running = orphaned(victims="child", seconds=0.15)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 7, out + error
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)) + 30,)]
    assert "rolled back" not in shop.here("status").text


def test_F44_a_dry_run_that_takes_longer_than_max_duration_is_refused(make_shop) -> None:
    shop = make_shop("default", "max-duration = 1")
    slow = '\nimport time\ntime.sleep(1.5)\nop.execute("UPDATE customers SET points = 0")'
    shop.revision("r1", "r0", R1 + slow)
    before = shop.everything_in_it()
    done = shop.here("run")
    assert done.code == 1, done.text
    message = done.stage("dry-run")["message"]
    assert re.match(r"max-duration is 1 s, and after 1\.\d s the dry run still began statements \(", message)
    assert "migrate" not in done.outcomes
    assert shop.everything_in_it() == before

"""Ten times killed by SIGKILL while others write: each row is filled exactly once, and no write of others is lost."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa
from backfill_project import BackfillProject
from backfill_shop import ENGINES, url_of

pytestmark = pytest.mark.long

ROWS = int(os.environ.get("BACKFILL_ROWS", "200000"))
KILLS = 10


class Writers:
    """Two sessions that update rows, add some and take some away, and count what was committed."""

    def __init__(self, url):
        self.url = url
        self.stopping = threading.Event()
        self.updated = self.inserted = self.deleted = self.failed = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(seed,)) for seed in (1, 2)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def work(self, seed):
        chance = random.Random(seed)
        engine = sa.create_engine(self.url)
        new = 10_000_000 * seed
        while not self.stopping.is_set():
            new += 1
            kind = chance.choice(["updated", "updated", "updated", "inserted", "deleted"])
            some = 2 + 2 * chance.randrange(ROWS)
            statement = {
                "updated": f"UPDATE t SET w = w + 1 WHERE id = {some}",
                # of every tenth row, so that not all are gone at the end
                "deleted": f"DELETE FROM t WHERE id = {some // 20 * 20}",
                # behind the end, or in the gaps
                "inserted": f"INSERT INTO t (id) VALUES ({new if new % 2 else some + 1})",
            }[kind]
            try:
                with engine.begin() as connection:
                    rows = connection.execute(sa.text(statement)).rowcount
            except sa.exc.DBAPIError:  # a deadlock, a lock timeout, a row that is there already
                self.failed += 1
                continue
            with self.lock:
                setattr(self, kind, getattr(self, kind) + rows)
            time.sleep(0.005)
        engine.dispose()


@pytest.fixture(params=ENGINES)
def made(request, tmp_path):
    url = url_of(request, tmp_path, request.param)
    made = BackfillProject(tmp_path, url, rows=ROWS, most=max(200, ROWS // 100))
    made.project.environ["SECONDS_AFTER_A_BATCH"] = "0.05"
    made.shop.run("ALTER TABLE t ADD COLUMN w INTEGER NOT NULL DEFAULT 0")
    if url.drivername == "sqlite":
        made.shop.run("PRAGMA journal_mode=WAL")
    return made


def start(made, *command):
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=made.project.folder,
        env=made.project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def kill_in_its_middle(made, *command):
    """As soon as it has come two batches further."""
    before = made.batches
    child = start(made, *command)
    while made.batches < before + 2:
        if child.poll() is not None:
            pytest.fail(f"it ended before it was killed: {child.stdout.read().decode()}")
        time.sleep(0.02)
    time.sleep(random.uniform(0, 0.2))
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()


COMMANDS = {
    "alembic": (["alembic", "upgrade", "head"], ["alembic", "upgrade", "head"]),
    "gate": (["ci_migrate", "run"], ["ci_migrate", "repair", "--forward"]),
}


@pytest.mark.parametrize("way", COMMANDS)
def test_each_row_exactly_once(made, way):
    first, again = COMMANDS[way]
    with Writers(made.shop.plain) as writers:
        for number in range(KILLS):
            kill_in_its_middle(made, *(first if not number else again))
        child = start(made, *again)
        told = child.communicate()[0].decode()
        assert child.returncode == 0, told
    assert made.heads == ["r3"]
    counts = dict(
        made.shop.run(f"SELECT n, count(*) FROM t WHERE id <= {2 * ROWS} AND id % 2 = 0 GROUP BY n")
    )
    assert set(counts) == {1}, counts
    assert counts[1] >= ROWS - writers.deleted
    others = dict(made.shop.run("SELECT n, count(*) FROM t GROUP BY n"))
    assert set(others) <= {0, 1}  # those that came meanwhile: once or not at all
    assert writers.updated > 50
    assert writers.inserted > 10
    assert int(made.shop.run("SELECT count(*) FROM t")[0][0]) == ROWS + writers.inserted - writers.deleted
    at_least = int(made.shop.run("SELECT sum(w) FROM t")[0][0])
    assert at_least <= writers.updated  # some of the rows that they updated, they deleted
    assert at_least > writers.updated * 0.8

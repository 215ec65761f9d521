"""A revision with a backfill: by plain Alembic, by the gate, killed, gone on with, and taken back."""

import signal
import time

import pytest
import sqlalchemy as sa
from alembic_project import ended
from backfill_project import ASYNC_ENV, BackfillProject
from backfill_shop import ENGINES, url_of


@pytest.fixture(params=ENGINES)
def make(request, tmp_path):
    """`make(**options)`: a project on each engine."""
    url = url_of(request, tmp_path, request.param)
    return lambda **options: BackfillProject(tmp_path, url, **options)


def test_plain_alembic_and_back(make):
    made = make()
    done = made.alembic("upgrade", "head")
    assert done.returncode == 0, done.stderr
    assert made.shop.counts() == {1: 1000}
    for words in (["downgrade", "r1"], ["upgrade", "head"]):
        done = made.alembic(*words)
        assert done.returncode == 0, done.stderr
    assert made.shop.counts() == {1: 1000}
    assert made.heads == ["r3"]


def test_plain_alembic_killed_goes_on(make):
    made = make()
    for batches in (1, 5, 6, 19):
        made.kill_after(batches)
        assert made.alembic("upgrade", "head").returncode == -9
        assert (made.heads, made.batches) == (["r2"], batches)
    made.survive()
    assert made.alembic("upgrade", "head").returncode == 0
    assert made.shop.counts() == {1: 1000}


def test_the_gate_runs_it(make):
    made = make(most=400)
    done = made.project.run("run")
    ended(done, 0, "backfill count: 1,000 rows in", "for the 1,000 rows of the target")
    assert made.shop.counts() == {1: 1000}
    evidence = done.stage("dry-run")["evidence"]
    assert evidence["backfills"][0]["rows"] == 1000
    assert not done.codes() & {"CM301", "CM302", "CM303"}, done.report["results"]
    assert made.heads == ["r3"]


@pytest.mark.parametrize("mixed", [False, True])
def test_the_gate_killed_goes_on(make, mixed):
    made = make(mixed=mixed, after='op.execute("UPDATE t SET n = n + 10 WHERE id = 2")')
    made.kill_after(7)
    done = made.project.run("run")
    ended(done, 7, "up to a batch of its backfill count", "ci-migrate repair --forward")
    for batches in (8, 12, 20):
        made.kill_after(batches)
        done = made.project.run("repair", "--forward")
        assert done.code == 7, done.text
        assert made.batches == batches
    made.survive()
    done = made.project.run("repair", "--forward")
    ended(done, 0)
    assert made.shop.counts() == ({1: 999, 11: 1} if mixed else {1: 1000})
    assert made.heads == [("r2" if mixed else "r3")]


@pytest.fixture
def small(tmp_path):
    """On SQLite, where the engine makes no difference."""
    url = sa.URL.create("sqlite", database=str(tmp_path / "app.db"))
    return lambda **options: BackfillProject(tmp_path, url, **options)


def test_an_async_env_py(tmp_path, postgresql_url):
    """Its connection comes by run_sync."""
    url = sa.make_url(postgresql_url).set(drivername="postgresql+asyncpg")
    made = BackfillProject(tmp_path, url, env=ASYNC_ENV, rows=200)
    made.kill_after(3)
    assert made.project.run("run").code == 7
    made.survive()
    ended(made.project.run("repair", "--forward"), 0)
    assert made.shop.counts() == {1: 200}


def test_one_batch_on_the_copy_and_many_on_the_target(small):
    made = small(most='5000 if os.environ["CI_MIGRATE_STAGE"] == "dry-run" else 20')
    made.project.write(
        "migrations/versions/r3.py",
        (made.project.folder / "migrations/versions/r3.py")
        .read_text()
        .replace("batch_size=20,", 'batch_size=5000 if os.environ["CI_MIGRATE_STAGE"] == "dry-run" else 20,'),
    )
    done = made.project.run("run")
    ended(done, 0)
    assert done.stage("dry-run")["evidence"]["backfills"][0]["batches"] == 1
    assert made.batches == 50
    assert made.shop.counts() == {1: 1000}


def test_a_copy_without_rows_knows_the_statement_all_the_same(small):
    """The first rows come after the backup."""
    made = small(rows=0)
    child = made.project.start("run")
    while not list(made.project.folder.rglob("manifest.json")):
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    made.shop.run("INSERT INTO t (id) VALUES (:id)", rows=[{"id": n} for n in range(300)])
    told = " ".join(child.communicate()[0].split())
    assert child.returncode == 0, told
    assert "backfill count: 0 rows in" in told
    assert "which says nothing of how long it will take on the target" in told
    assert made.shop.counts() == {1: 300}


def test_a_statement_that_was_not_rehearsed_is_refused_in_a_batch_too(small):
    made = small()
    path = made.project.folder / "migrations/versions/r3.py"
    other = '"UPDATE t SET n = n + 1" + (", id = id" if os.environ["CI_MIGRATE_STAGE"] == "migrate" else "")'
    path.write_text(
        path.read_text().replace('"UPDATE t SET n = n + 1 WHERE {batch}"', other + ' + " WHERE {batch}"')
    )
    done = made.project.run("run")
    assert done.code in (6, 7), done.text
    assert "is about to send a statement that the dry run did not" in done.words
    assert made.shop.counts() == {0: 1000}


def test_an_error_in_its_middle_is_told_with_the_ways_on(small):
    """What was filled stays, nothing is dropped, and what is left can be run."""
    made = small(mixed=True)
    made.kill_after(4, raises=True)
    done = made.project.run("run")
    ended(done, 7, "injected", "backfill count has begun: the rows that it filled can't be taken back")
    assert made.shop.counts() == {0: 930, 1: 70} or made.shop.counts()[1] > 0
    status = made.project.run("status")
    assert "up to a batch of its backfill count" in status.words
    assert "ci-migrate repair --forward" in status.words
    made.survive()
    ended(made.project.run("repair", "--forward"), 0)
    assert made.shop.counts() == {1: 1000}


def test_a_wait_is_no_stall_and_can_be_stopped(small):
    made = small()
    made.project.settings('[targets.dev]\nurl = "env:SHOP"\nstall-timeout = "8s"\n')
    made.project.environ["WAITS_UNTIL"] = str(time.time() + 120)
    begun = []

    def waiting():
        if made.shop.run("SELECT 1 FROM sqlite_master WHERE name = 'ci_migrate_backfills'"):
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] > 12

    done = made.project.interrupted("run", when=waiting, number=signal.SIGTERM)
    assert time.monotonic() - begun[0] < 60
    assert done.code == 143, done.text
    assert "stall-timeout" not in done.text
    made.project.environ["WAITS_UNTIL"] = "0"
    ended(made.project.run("repair", "--forward"), 0)
    assert made.shop.counts() == {1: 1000}

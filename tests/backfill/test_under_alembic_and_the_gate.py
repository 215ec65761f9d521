"""A revision with a backfill: by plain Alembic, by the gate, killed, gone on with, and taken back."""

import pytest
from alembic_project import ended
from backfill_project import BackfillProject
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
    assert done.codes() <= {"CM303", "CM402", "CM401"}, done.report["results"]
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

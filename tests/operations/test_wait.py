"""Waiting for a database in this process: what is told while it lasts, what ends it, what no waiting mends."""

import time

import pytest

from ci_migrate.errors import RefusedError, UsageError
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.operations.wait import wait
from ci_migrate.settings.settings import load


@pytest.fixture
def waited(alembic_project):
    """`waited(timeout=..., does=...)`: how the waiting ended, and what was told; `does` is done when something is."""

    def run(does=None, **how):
        settings = load(alembic_project.folder, alembic_project.environment(), {"target": "dev"})
        told: list[str] = []

        def tell(words: str) -> None:
            told.append(words)
            if does is not None:
                does()

        found = wait(settings, Interrupt(), **{"timeout": 0.0, "every": 0.02, **how}, tell=tell)
        return found, told

    return run


def test_a_look_that_finds_it_tells_nothing_and_waits_for_nothing(waited, alembic_project):
    alembic_project.put_version_rows("r2")
    found, told = waited(timeout=600.0)
    assert (found.served, found.exit_code, found.heads, found.wanted, told) == (True, 0, "r2", "r2", [])
    assert found.seconds < 60


def test_with_no_time_it_looks_once_and_says_what_is_missing(waited, alembic_project):
    alembic_project.put_version_rows()
    found, told = waited()
    assert (found.served, found.exit_code) == (False, 1)
    assert told == [found.words] == ["The database is at base; not applied yet: r1, r2."]


def test_it_ends_when_the_version_row_is_written_and_tells_each_thing_once(waited, alembic_project):
    """By a plain query: no child is started as long as the rows are the same."""
    alembic_project.put_version_rows()
    steps = iter([["r1"], ["r2"]])
    found, told = waited(lambda: alembic_project.put_version_rows(*next(steps)), timeout=60.0)
    assert found.served
    assert told == [
        "The database is at base; not applied yet: r1, r2.", "The database is at r1; not applied yet: r2.",
    ]  # fmt: skip


def test_of_many_that_are_missing_the_first_are_named(waited, alembic_project):
    for number in range(3, 9):
        alembic_project.revision(f"r{number}", f"r{number - 1}", "pass")
    alembic_project.put_version_rows("r1")
    found, _ = waited()
    assert found.words == "The database is at r1; not applied yet: r2, r3, r4 and 4 more."
    assert found.wanted == "r8"


@pytest.mark.parametrize("newer", [True, False])
def test_a_later_release_will_do_only_where_somebody_says_so(waited, alembic_project, newer):
    alembic_project.put_version_rows("r9")
    found, told = waited(newer=newer)
    assert (found.served, found.exit_code) == (newer, 0 if newer else 1)
    assert "r9, which these scripts do not know" in found.words
    assert told == ([] if newer else [found.words])


def test_one_revision_is_waited_for_and_what_follows_it_is_not(waited, alembic_project):
    alembic_project.put_version_rows("r1")
    found, _ = waited(revision="r1")
    assert (found.served, found.wanted) == (True, "r1")
    assert not waited(revision="r2")[0].served


def test_a_database_that_can_not_be_read_is_told_once_with_code_8(waited, alembic_project):
    alembic_project.database.write_bytes(b"no database at all " * 500)
    found, told = waited(timeout=0.3)
    assert (found.served, found.exit_code, found.heads) == (False, 8, "")
    assert told == [found.words], "not at each look"


def test_a_database_that_comes_up_while_it_waits_is_found(waited, alembic_project):
    alembic_project.database.write_bytes(b"no database at all " * 500)

    def comes_up() -> None:
        alembic_project.database.unlink(missing_ok=True)
        alembic_project.put_version_rows("r2")

    found, told = waited(comes_up, timeout=60.0)
    assert found.served
    assert len(told) == 1


def test_what_no_waiting_mends_ends_at_once(waited, alembic_project):
    started = time.monotonic()
    with pytest.raises(RefusedError, match="nonsense"):
        waited(revision="nonsense", timeout=600.0)
    alembic_project.write("migrations/versions/r3.py", "not python at all")
    with pytest.raises(RefusedError, match="can't be loaded"):
        waited(timeout=600.0)
    with pytest.raises(UsageError, match="destination is empty"):
        waited(revision=" ", timeout=600.0)
    assert time.monotonic() - started < 100

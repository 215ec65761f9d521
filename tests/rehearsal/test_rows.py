"""Rows followed through a dry run: what was written to is read again, and nothing else."""

import pytest
from alembic_project import AlembicProject
from sqlalchemy import URL

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.errors import LockWaitError
from ci_migrate.model import TableContent
from ci_migrate.rehearsal.rows import RowsFollowed


class Counting(SQLite):
    """A database that notes which tables were read."""

    def __init__(self, url: URL) -> None:
        super().__init__(url)
        self.read: list[set[str]] = []

    def contents(self, tables):
        self.read.append(set(tables))
        return super().contents(tables)


@pytest.fixture
def copy(alembic_project: AlembicProject) -> Counting:
    for statement in (
        "create table a (id integer)", "create table b (id integer)", "create table big (id integer)",
        "create table alembic_version (version_num text)", "insert into a values (1)",
    ):  # fmt: skip
        alembic_project.sql(statement)
    return Counting(URL.create("sqlite", database=str(alembic_project.database)))


@pytest.fixture
def followed(copy: Counting) -> RowsFollowed:
    """Of the tables a and b; `big` is not watched, the version table never is."""
    start = copy.contents({"a", "b"})
    copy.read.clear()
    return RowsFollowed(copy, start, copy.counts(), frozenset({"alembic_version"}))


def test_what_nobody_wrote_to_is_not_read_again(followed, copy):
    assert followed.look() == dict(followed.start)
    assert copy.read == []


def test_only_what_was_written_to_is_read_again(followed, copy, alembic_project):
    alembic_project.sql("insert into a values (2)")
    followed.note(frozenset({"a", "big", "alembic_version"}))
    found = followed.look()
    assert (found["a"].rows, found["b"].rows) == (2, 0)
    assert copy.read == [{"a"}], "a table that is not watched is not read, the version table never"
    followed.look()
    assert copy.read == [{"a"}], "and once is enough"


def test_what_is_written_to_in_several_steps_is_read_once(followed, copy):
    for tables in ({"a"}, {"b"}, set()):
        followed.note(frozenset(tables))
    followed.look()
    assert copy.read == [{"a", "b"}]


def test_where_nobody_knows_all_is_read(followed, copy, alembic_project):
    alembic_project.sql("create table c (id integer)")
    followed.note(frozenset({"a"}))
    followed.note(None)
    followed.note(frozenset({"b"}))
    assert set(followed.look()) == {"a", "b", "c"}, "and what came since is watched"
    assert copy.read == [{"a", "b", "c"}]
    copy.read.clear()
    followed.look()
    assert copy.read == [], "that was then"


def test_a_table_that_came_is_followed_and_one_that_went_is_gone(followed, alembic_project):
    alembic_project.sql("create table c (id integer)")
    alembic_project.sql("drop table b")
    followed.note(frozenset({"b", "c"}))
    assert set(followed.look()) == {"a", "c"}


def test_tables_are_told_in_order(followed, alembic_project):
    alembic_project.sql("create table aa (id integer)")
    followed.note(frozenset({"aa"}))
    assert list(followed.look()) == ["a", "aa", "b"]


def test_a_lock_is_no_answer_and_what_was_written_is_not_forgotten(
    followed, copy, monkeypatch, alembic_project
):
    """The migration itself holds it: the next commit point looks again."""
    alembic_project.sql("insert into a values (2)")
    followed.note(frozenset({"a"}))

    def locked(_tables):
        raise LockWaitError("a is locked")

    with monkeypatch.context() as patch:
        patch.setattr(copy, "contents", locked)
        assert followed.look() is None
    assert followed.look()["a"].rows == 2


@pytest.mark.parametrize(
    ("noted", "now", "missed"),
    [
        (set(), {"a": 1, "b": 0}, False),
        (set(), {"a": 2, "b": 0}, True),
        (set(), {"a": 1}, True),
        ({"a"}, {"a": 2, "b": 0}, False),
        ({"a"}, {"a": 2, "b": 5}, True),
        (None, {"a": 9, "b": 9}, False),  # anything may have been written to: nothing was missed
    ],
)
def test_what_was_missed(copy, noted, now, missed):
    start = {name: TableContent(rows=rows, digest=f"{rows}") for name, rows in (("a", 1), ("b", 0))}
    followed = RowsFollowed(copy, start, {}, frozenset())
    followed.note(None if noted is None else frozenset(noted))
    assert followed.missed({n: TableContent(rows=r, digest=f"{r}") for n, r in now.items()}) is missed

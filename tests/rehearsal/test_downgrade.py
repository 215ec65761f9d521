"""Whether `downgrade` leads back: tried on the copy, compared, and never called proven for less than all of it."""

import pytest
from sqlalchemy import NullPool, create_engine

from ci_migrate.model import TableContent
from ci_migrate.rehearsal.downgrade import _lossless, _reason


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "proven"),
    [
        ("create table t (id integer)", "drop table t", True),
        ("alter table users add age integer", "alter table users drop column age", True),
        # rows are compared whatever their order
        (
            "delete from users where id = 1",
            "insert into users values (1, 'ana', 'a@x')",
            True,
        ),
        ("insert into users values (9, 'z', 'z')", "delete from users where id = 9", True),
    ],
)
def test_back_to_the_same(rehearse, upgrade, downgrade, proven):
    way = rehearse(upgrade, downgrade).evidence.way_back
    assert (way.tried, way.ran, way.same_schema, way.lossless, way.reason) == (True, True, True, True, "")
    assert way.proven is proven
    assert way.differences == ()


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "same", "lossless", "reason"),
    [
        (
            "create table t (id integer); create index ix on users (name)",
            "drop table t",
            False,
            True,
            "the schema is not what it was",
        ),
        (
            "update users set name = 'x' where id = 1",
            "update users set name = 'y' where id = 1",
            True,
            False,
            "contents of users are not what they were",
        ),
        (
            "alter table users drop column email",
            "alter table users add email text",
            True,
            False,
            "contents of users are not what they were",
        ),
        (
            "drop table users",
            "create table users (id integer primary key, name text)",
            False,
            False,
            "the schema is not what it was and contents of users are not what they were",
        ),
    ],
)
def test_back_to_something_else(rehearse, upgrade, downgrade, same, lossless, reason):
    way = rehearse(upgrade, downgrade).evidence.way_back
    assert (way.tried, way.ran, way.same_schema, way.lossless) == (True, True, same, lossless)
    assert way.reason == reason
    assert not way.proven
    assert bool(way.differences) is not same, "what differs is named"


def test_a_downgrade_that_fails_says_where(rehearse):
    way = rehearse("create table t (id integer)", "drop table nowhere").evidence.way_back
    assert (way.tried, way.ran, way.proven) == (True, False, False)
    assert way.reason.startswith("downgrade of r2: ")
    assert "no such table: nowhere" in way.reason
    assert way.lossless is None, "nobody compared anything"


def test_a_downgrade_that_does_not_exist_is_not_tried(rehearse):
    way = rehearse("create table t (id integer)", "pass").evidence.way_back
    assert (way.tried, way.reason) == (False, "revision r2 has no downgrade")


def test_of_several_the_last_one_without_is_named(filled):
    """It is the first that going back meets."""
    filled.revision("r2", "r1", "create table a (id integer)", "pass")
    filled.revision("r3", "r2", "create table b (id integer)", "pass")
    filled.revision("r4", "r3", "create table c (id integer)", "drop table c")
    assert filled.gate("dry-run").evidence.way_back.reason == "revision r3 has no downgrade"


def test_where_the_migration_fails_there_is_no_way_back_to_try(rehearse):
    report = rehearse("insert into nowhere values (1)", "drop table t")
    assert report.exit_code == 1
    assert (report.evidence.way_back.tried, report.evidence.way_back.reason) == (
        False,
        "the dry run did not get to the end",
    )


def test_a_way_back_that_is_required(rehearse):
    """The setting makes of a warning an error."""
    for required, code in ((False, 0), (True, 1)):
        report = rehearse("create table t (id integer)", "drop table nowhere", require_downgrade=required)
        assert report.exit_code == code, report
        assert {f.code for f in report.findings} == {"CM402"}


def content(rows: int, digest: str | None = "d") -> TableContent:
    return TableContent(rows=rows, digest=digest)


@pytest.mark.parametrize(
    ("before", "now", "lost", "told"),
    [
        ({}, {}, [], True),
        ({"a": content(1)}, {"a": content(1)}, [], True),
        ({"a": content(1)}, {}, ["a"], False),
        # too much to read: that as many rows are there proves nothing
        ({"a": content(1, None)}, {"a": content(1, None)}, [], None),
        ({"a": content(1, None), "b": content(1)}, {"a": content(1, None), "b": content(2)}, ["b"], False),
    ],
)
def test_what_can_be_said_of_rows(before, now, lost, told):
    assert _lossless(before, now, lost) is told


@pytest.mark.parametrize(
    ("differs", "lost", "unseen", "words"),
    [
        (False, [], [], ""),
        (True, [], ["big"], "the schema is not what it was"),
        (False, [], ["big", "a"], "the rows of a, big can't all be seen"),
        (False, list("dcba"), [], "contents of a, b, c are not what they were"),
        (True, ["t"], [], "the schema is not what it was and contents of t are not what they were"),
    ],
)
def test_reasons(differs, lost, unseen, words):
    assert _reason(differs, lost, unseen) == words


def test_on_postgresql_what_a_downgrade_loses_is_seen(on_postgresql):
    """A type that cuts and is widened again: the schema is the same, the values are not."""
    project = on_postgresql
    project.revision(
        "r2",
        "r1",
        "alter table users alter name type varchar(3) using name::varchar(3); create sequence s",
        "alter table users alter name type text; drop sequence s",
    )
    way = project.gate("dry-run").evidence.way_back
    assert (way.tried, way.ran, way.same_schema, way.lossless) == (True, True, True, False)
    assert way.reason == "contents of public.users are not what they were"
    engine = create_engine(project.environ["DATABASE_URL"], poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("select name from users order by id").scalars().all()
    assert found == ["ana maria", "bo"], "it was tried on the copy"

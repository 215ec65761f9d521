"""Whether `downgrade` leads back: tried on the copy, compared, and never called proven for less than all of it."""

import pytest
from sqlalchemy import NullPool, create_engine

from ci_migrate.model import TableContent
from ci_migrate.rehearsal.downgrade import _lossless, _reason
from ci_migrate.reports import story


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
            "values of users.name are not what they were",
        ),
        (
            "alter table users drop column email",
            "alter table users add email text",
            True,
            False,
            "values of users.email are gone",
        ),
        (
            "delete from users where id > 1",
            "insert into users values (2, 'bo', 'b@x')",
            True,
            False,
            "table users has 2 rows and had 3",
        ),
        (  # the same values, in other rows
            "update users set email = case id when 1 then 'b@x' when 2 then 'a@x' else email end",
            "update users set id = id",
            True,
            False,
            "the rows of users are not what they were",
        ),
        (  # nobody can tell whether they are among them
            "insert into users values (9, 'z', 'z')",
            "insert into users values (10, 'z', 'z')",
            True,
            None,
            "table users has 5 rows and had 3",
        ),
        (
            "drop table users",
            "create table users (id integer primary key, name text)",
            False,
            False,
            "the schema is not what it was and table users has 0 rows and had 3",
        ),
    ],
)
def test_F72_back_to_something_else_and_to_what(rehearse, upgrade, downgrade, same, lossless, reason):
    report = rehearse(upgrade, downgrade)
    way = report.evidence.way_back
    assert (way.tried, way.ran, way.same_schema, way.lossless) == (True, True, same, lossless)
    assert way.reason == reason
    assert not way.proven
    assert bool(way.differences) is not same, "what differs is named"
    told = story.way_back(report.evidence)
    assert reason in told
    assert "loses rows" not in told, "values may have changed, or rows have come"
    (finding,) = [f for f in report.findings if f.code == "CM402"]
    assert finding.message.startswith(f"The rollback path by downgrade is not proven: {reason}")
    assert all(words in finding.message for words in way.differences[:3])


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
    ("before", "now", "told"),
    [
        ({}, {}, True),
        ({"a": content(1)}, {"a": content(1)}, True),
        ({"a": content(1)}, {}, False),
        # too much to read: that as many rows are there proves nothing
        ({"a": content(1, None)}, {"a": content(1, None)}, None),
        ({"a": content(2, None), "b": content(1)}, {"a": content(2, None), "b": content(0)}, False),
        # those of before may be among them
        ({"a": content(1)}, {"a": content(2, "e")}, None),
        ({"a": content(2)}, {"a": content(2, "e")}, False),
        ({"a": content(1)}, {"a": content(2, "e"), "b": content(0)}, None),
    ],
)
def test_what_can_be_said_of_rows(before, now, told):
    assert _lossless(before, now) is told


@pytest.mark.parametrize(
    ("differs", "before", "now", "words"),
    [
        (False, {}, {}, ""),
        (True, {"big": content(9, None)}, {"big": content(9, None)}, "the schema is not what it was"),
        (
            False,
            {"big": content(9, None), "a": content(1, None)},
            {"big": content(9, None), "a": content(1, None)},
            "the rows of a, big can't all be seen",
        ),
        (
            False,
            dict.fromkeys("dcba", content(1)),
            dict.fromkeys("dcb", content(3)),
            "table a is gone with 1 row; table b has 3 rows and had 1; table c has 3 rows and had 1; and 1 more",
        ),
        (
            True,
            {"t": content(1)},
            {},
            "the schema is not what it was and table t is gone with 1 row",
        ),
    ],
)
def test_reasons(differs, before, now, words):
    assert _reason(before, now, schema_differs=differs) == words


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
    assert way.reason == "values of public.users.name are not what they were"
    engine = create_engine(project.environ["DATABASE_URL"], poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.exec_driver_sql("select name from users order by id").scalars().all()
    assert found == ["ana maria", "bo"], "it was tried on the copy"

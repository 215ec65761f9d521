"""Shapes of statements, and a real run held against the rehearsed one."""

from itertools import permutations
from pathlib import Path

import pytest

from ci_migrate.migrations import events
from ci_migrate.migrations.record import Follower, Recorder
from ci_migrate.migrations.worker.forms import form
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL, SQLITE
from ci_migrate.model import Direction, Identity, Plan, PlannedContext, VersionTable

PROJECT = Path("/project")
PLAN = Plan(
    target="t",
    identity=Identity(dialect="sqlite", place="x", facts={}),
    direction=Direction.UPGRADE,
    destination="head",
    contexts=(
        PlannedContext(version_table=VersionTable(), from_heads=(), to_heads=("r1",), revisions=("r1",)),
    ),
    revisions=(),
    env_sha256="",
    script_heads=("r1",),
)


def shape(sql, dialect=POSTGRESQL):
    return form(sql, dialect)


def statement(sql, line=1, *, position=1, revision="r1", file="/project/r1.py"):
    return events.StatementStarted(
        position=position,
        context=0,
        revision=revision,
        file=file,
        line=line,
        sql=sql,
        digest=f"digest of {sql}",
        form=shape(sql),
    )


def rehearse(*statements):
    """What a dry run records of these (sql, line)."""
    recorder = Recorder(project=PROJECT, plan=PLAN, measure=lambda _last, _database, _statements: {})
    for position, (sql, line) in enumerate(statements, 1):
        recorder.handle(statement(sql, line, position=position))
        recorder.handle(events.StatementDone(position=position, seconds=0.5, rows=2))
    return recorder


def follow(rehearsed, *statements):
    """The first refusal of a real run of these (sql, line); None where it follows to its end."""
    follower = Follower(PROJECT, tuple(rehearsed.statements.values()))
    for sql, line in statements:
        refusal = follower.check(statement(sql, line))
        if refusal:
            return refusal
    return None


def rows(count, sql="update t set a = {n} where id = {n}", line=7):
    return [(sql.format(n=n), line) for n in range(count)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("update t set a = 'x' where id = 1", "update t set a = 'it''s' where id = 22"),
        ("insert into t values (1, NULL, true)", "insert into t  values\n(2.5, 'x', FALSE)"),
        ("insert into t values (?, ?)", "insert into t values (?, ?), (?, ?), (?, ?)"),
        ("insert into t values (%s, %s)", "insert into t values (%s, %s), (%s, %s)"),
        ("select p0 from (values (%(a__0)s::VARCHAR, 0)) as x", "select p0 from (values (%(a__0)s::VARCHAR, 0), (%(a__1)s::VARCHAR, 1)) as x"),
        ("insert into t values ($1::VARCHAR(20), now())", "insert into t values ($1::VARCHAR(20), now()), ($2::VARCHAR(20), now())"),
        ("delete from t where id in (?, ?, ?)", "delete from t where id in (?)"),
        ("delete from t where id in ($1::INTEGER)", "delete from t where id in ($1::INTEGER, $2::INTEGER)"),
        ("delete from t where id = :id_1", "delete from t where id = 5"),
    ],
)  # fmt: skip
def test_rounds_of_a_loop_have_one_shape(one, other):
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("update t set a = 1", "update t set b = 1"),
        ("delete from t where id = 1", "delete from t"),
        ("insert into t values (?, ?)", "insert into t values (?, now())"),
        ("drop table t1", "drop table t2"),
        ("select a::text", "select a::integer"),
    ],
)
def test_other_statements_have_another(one, other):
    assert shape(one) != shape(other)


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (MYSQL, 'insert into t values ("a-1")', "insert into t values ('it\\'s')"),
        (MYSQL, "insert into t values (0x41, -1)", "insert into t values (0b1, 2.5), (x'42', -3)"),
        (MYSQL, "insert into t values (1) # at 10:31", "insert into t /* uuid */ values (2) -- x"),
        (MYSQL, "update t set a = -1 where b = 'x'", 'update t set a = 1 where b = "y"'),
        (
            POSTGRESQL,
            "insert into t values (E'a\\'b', $$it's$$)",
            "insert into t values ('c', $x$d$x$), ('e', 'f')",
        ),
        (POSTGRESQL, "insert into t values (-1, U&'x') -- a", "insert into t values (+2, B'01') /* b */"),
        (POSTGRESQL, "update t set a = 'a'\n'b'", "update t set a = 'c'"),
        (SQLITE, "insert into t values (x'00', -1)", "insert into t values ('a', 0x1F)"),
    ],
)
def test_F60_literals_of_each_engine_have_one_shape(dialect, one, other):
    assert shape(one, dialect) == shape(other, dialect)


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        (POSTGRESQL, 'drop table "a"', 'drop table "b"'),
        (MYSQL._replace(double_quotes=False), 'drop table "a"', 'drop table "b"'),
        (MYSQL, "drop table `a`", "drop table `b`"),
        (SQLITE, "drop table [a]", "drop table [b]"),
        (MYSQL, "update t set a = a -1", "update t set a = a +1"),
        (MYSQL, "insert into t values (1)", "insert into t values (1) /*! on duplicate key update a = 2 */"),
        (POSTGRESQL, "select a - 1", "select a"),
    ],
)
def test_F60_names_and_what_is_executed_make_another(dialect, one, other):
    assert shape(one, dialect) != shape(other, dialect)


def test_F60_a_long_statement_has_a_form_too():
    one, other = (
        "insert into t values " + ", ".join([f"('{c * 30}', {n})" for n in range(2000)]) for c in "ab"
    )
    assert len(one) > 40000
    assert shape(one) == shape(other) == shape("insert into t values ('x', 1)")


def test_a_loop_is_one_statement():
    recorder = rehearse(("create table t (id integer)", 3), *rows(5000), ("drop table u", 9))
    assert [(s.line, s.repeats, s.rows, round(s.seconds)) for s in recorder.statements.values()] == [
        (3, 1, 2, 0),
        (7, 5000, 10000, 2500),
        (9, 1, 2, 0),
    ]


LOOP = [("create table t (id integer)", 3), *rows(3), ("drop table u", 9)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5000])
def test_any_number_of_rounds_follows(count):
    assert follow(rehearse(*LOOP), LOOP[0], *rows(count), LOOP[-1]) is None


def test_two_loops_inside_each_other_in_any_order():
    both = [*rows(2), *rows(3, "insert into log values ({n})", 8)]
    assert follow(rehearse(*both), both[3], both[0], both[4], both[1]) is None


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("update t set b = 1 where id = 1", 7),
        ("update t set a = 1 where id = 1", 8),
        ("drop table t", 9),
        ("drop table u", 10),
    ],
)
def test_a_statement_that_was_not_rehearsed_is_refused(sql, line):
    refusal = follow(rehearse(*LOOP), LOOP[0], (sql, line))
    assert f"r1.py:{line}" in refusal
    assert sql in refusal


BATCH = [("create table a (x, primary key (x), foreign key (x) references b (x))", 3), ("create index i on a (x)", 5),
         ("create index j on a (x)", 5), ("create index k on a (x)", 5), ("drop table b", 6)]  # fmt: skip


@pytest.mark.parametrize("order", list(permutations(BATCH[1:4])))
def test_what_one_line_sends_may_come_in_any_order(order):
    assert follow(rehearse(*BATCH), BATCH[0], *order, BATCH[-1]) is None
    assert rehearse(BATCH[0], *order, BATCH[-1]).stream_digest == rehearse(*BATCH).stream_digest


def test_the_constraints_of_a_new_table_may_come_in_any_order():
    assert shape("CREATE TABLE a (x INT, CHECK (x > 1), UNIQUE (x))") == shape(
        "CREATE TABLE a (x INT, UNIQUE (x), CHECK (x > 1))"
    )
    assert shape("CREATE TABLE a (x INT, CHECK (x > 1))") != shape("CREATE TABLE a (x INT, CHECK (x < 1))")


def test_of_what_one_line_sends_nothing_may_be_left_out_or_come_twice():
    rehearsed = rehearse(*BATCH)
    assert "drop table b" in follow(rehearsed, *BATCH[:2], BATCH[3], BATCH[4])
    assert follow(rehearsed, *BATCH[:2], BATCH[3], BATCH[3]) is not None
    assert follow(rehearsed, BATCH[0], *BATCH[2:4], BATCH[2]) is not None


def test_lines_keep_their_order():
    assert follow(rehearse(*BATCH), *BATCH[1:4]) is not None
    assert follow(rehearse(*BATCH), BATCH[0], BATCH[-1]) is not None


def test_a_statement_may_not_be_left_out():
    refusal = follow(rehearse(*LOOP), *rows(3))
    assert "create table t" in refusal


def test_a_statement_that_ran_once_may_not_run_twice():
    assert follow(rehearse(*LOOP), LOOP[0], LOOP[0]) is not None


def test_nothing_comes_after_the_end():
    refusal = follow(rehearse(*LOOP), *LOOP, ("delete from t", 11))
    assert "no further statement" in refusal


def test_thousands_of_rounds_are_quick():
    """Each round is looked up, not searched for."""
    many = [(f"create table t{n} (id integer)", n) for n in range(2000)]
    recorder = rehearse(*many, *rows(2, line=5000))
    follower = Follower(PROJECT, tuple(recorder.statements.values()))
    for sql, line in many:
        assert follower.check(statement(sql, line)) is None
    import time

    started = time.process_time()
    for sql, line in rows(2000, line=5000):
        assert follower.check(statement(sql, line)) is None
    assert time.process_time() - started < 2

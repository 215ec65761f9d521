"""Which statements are bound word for word."""

import pytest

from ci_migrate.migrations.worker.constants import Constants
from ci_migrate.migrations.worker.tokens import MYSQL, POSTGRESQL

SOURCE = '''
import datetime
SQL = """UPDATE t
    SET a = a * 2 WHERE b LIKE 'x%'"""

def upgrade():
    op.execute(SQL)
    op.execute(text("DELETE FROM t WHERE id = :id").bindparams(id=7))
    op.add_column("t", sa.Column("c", sa.String(50), server_default="it's"))
    op.bulk_insert(t, [{"name": "one", "n": -1}, {"name": "two", "n": 2.5}])
'''


@pytest.fixture
def bind():
    constants = Constants({"r1.py": compile(SOURCE, "r1.py", "exec")})

    def bind(statement, parameters=None, *, many=False, file="r1.py", dialect=POSTGRESQL):
        return constants.bind(file, statement, dialect, parameters, many)

    return bind


def test_what_stands_in_the_file_is_bound_as_it_is_sent(bind):
    assert bind("UPDATE t\n    SET a = a * 2 WHERE b LIKE 'x%'")
    assert bind("UPDATE t SET a = a * 2 WHERE b LIKE 'x%%'"), "as psycopg wants it"
    assert bind("ALTER TABLE t ADD COLUMN c VARCHAR(50) DEFAULT 'it''s'")
    rows = [{"name": "one", "n": -1}, {"name": "two", "n": 2.5}]
    assert bind("INSERT INTO t (name, n) VALUES (%(name)s, %(n)s)", rows, many=True)
    assert bind("INSERT INTO t (name) VALUES (?)", ("one",)) != bind(
        "INSERT INTO t (name) VALUES (?)", ("two",)
    )
    assert bind("DROP TABLE t")


def test_what_was_computed_is_not(bind):
    assert bind("UPDATE t SET a = a * 3 WHERE b LIKE 'x%'") == ""
    assert bind("INSERT INTO t VALUES ('6f1c2a4e-0000')") == ""
    assert bind("ALTER TABLE t ADD COLUMN c VARCHAR(60)") == ""
    assert bind("INSERT INTO t (name) VALUES (?)", ("three",)) == ""
    assert bind("INSERT INTO t (name) VALUES (?)", (object(),)) == ""
    # the id may come from a row, and stand in the file by chance
    assert bind("DELETE FROM t WHERE id = ?", (7,)) == ""
    assert bind("UPDATE t SET a = 7 WHERE b = 2") == ""
    assert bind("DROP TABLE t", file="r2.py") == ""
    assert bind("DROP TABLE t", file=None) == ""


def test_the_order_in_which_batch_mode_writes_constraints_does_not_matter(bind):
    one = "CREATE TABLE t (id INTEGER, UNIQUE (a), CHECK (b > 2.5))"
    other = "CREATE TABLE t (id INTEGER, CHECK (b > 2.5), UNIQUE (a))"
    assert bind(one) == bind(other) != ""


@pytest.mark.parametrize(
    "sql",
    ['INSERT INTO t VALUES ("6f1c2a4e")', "INSERT INTO t VALUES (0x6f1c2a4e)", "INSERT INTO t VALUES ('\\'6f1c2a4e')",
     "INSERT INTO t VALUES (-77)", "INSERT INTO t VALUES (.77)"],
)  # fmt: skip
def test_F60_a_literal_of_mysql_that_was_computed_is_not_bound(bind, sql):
    assert bind(sql, dialect=MYSQL) == ""
    assert bind('INSERT INTO t VALUES ("it\'s", -1, 2.5)', dialect=MYSQL) != ""
    assert bind("INSERT INTO t VALUES ('it\\'s')", dialect=MYSQL) != ""


@pytest.mark.parametrize("sql", ["SELECT f(E'6f1c\\'2a4e')", "INSERT INTO t VALUES ($$6f1c2a4e$$)"])
def test_F60_a_literal_of_postgresql_that_was_computed_is_not_bound(bind, sql):
    assert bind(sql) == ""

"""CM203: what goes when a type gets narrower; and what does not."""

import pytest

from ci_migrate.checks.values_narrowed import narrower
from ci_migrate.model import Severity

BATCH = """
with op.batch_alter_table("prices") as batch:
    batch.alter_column("price", type_={type})
"""


@pytest.mark.parametrize(
    ("old", "new", "loss"),
    [
        ("varchar(255)", "varchar(64)", "cut"),
        ("text", "varchar(64)", "cut"),
        ("character varying(9)", "character varying(8)", "cut"),
        ("varchar(64)", "varchar(255)", ""),
        ("varchar(64)", "text", ""),
        ("numeric(10, 2)", "numeric(10, 1)", "digits after the point"),
        ("numeric(10,2)", "numeric(12)", "digits after the point"),
        ("double precision", "integer", "digits after the point"),
        ("numeric(10, 2)", "numeric(12, 2)", ""),
        ("numeric(10, 2)", "numeric", ""),
        ("integer", "bigint", ""),
        ("bigint", "numeric(10, 2)", ""),
        ("timestamp without time zone", "date", "times of day"),
        ("timestamp without time zone", "timestamp with time zone", ""),
        ("TEXT", "INTEGER", "whatever is no number"),
        ("interval", "integer", ""),
        ("date", "timestamp without time zone", ""),
    ],
)
def test_narrower(old, new, loss):
    assert narrower(old, new) == loss


def test_cm203_digits_that_go_and_what_is_left_alone(rehearse, filled):
    filled.sql("create table prices (id integer primary key, price numeric(10, 2))")
    filled.sql("insert into prices values (1, 9.95), (2, 5)")
    (found,) = [f for f in rehearse(BATCH.format(type="sa.Integer")).findings if f.code == "CM203"]
    assert found.severity is Severity.WARNING
    assert (
        "prices.price became INTEGER (was NUMERIC(10, 2)), and its 2 values are not what they were"
        in found.message
    )
    assert (found.revision, found.file) == ("r2", "migrations/versions/r2.py")
    meant = 'op.execute("update prices set price = 1")\n' + BATCH.format(type="sa.Integer")
    for harmless in (BATCH.format(type="sa.Numeric(12, 2)"), meant):
        assert "CM203" not in {f.code for f in rehearse(harmless).findings}

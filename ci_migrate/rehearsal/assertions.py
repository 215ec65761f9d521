"""What the project's own queries give: the setting `assertions`."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.exc import DBAPIError, ResourceClosedError

from ci_migrate.databases.base import Database, LimitsStatements, session
from ci_migrate.databases.hidden_values import hide_values
from ci_migrate.model import plural
from ci_migrate.run.run import Run
from ci_migrate.settings.settings import Assertion

MOST_ROWS = 1000
"""Rows of an answer that are read."""


def run_assertions(run: Run, database: Database, when: str) -> list[str]:
    """The assertions that fail on a database, in words; nothing of a text that they found there.

    Each is asked in a read-only session of its own, for at most `assertion-timeout` seconds.

    Args:
        run: this run.
        database: the target, or a scratch copy of it.
        when: "before" or "after" the migration.
    """
    asked = [a for a in run.settings.assertions if a.when in (when, "both")]
    found = ((a, _wrong(run, database, a)) for a in asked)
    return [f"{a.name}, {when} the migration: {wrong}." for a, wrong in found if wrong]


def _wrong(run: Run, database: Database, assertion: Assertion) -> str:
    try:
        with session(database, read_only=True) as connection:
            if isinstance(database, LimitsStatements):
                database.limit_statements(connection, run.settings.assertion_timeout)
            # without parameters a percent sign is a percent sign
            plain = connection.execution_options(no_parameters=True)
            rows = [tuple(row) for row in plain.exec_driver_sql(assertion.query).fetchmany(MOST_ROWS + 1)]
    except DBAPIError as error:
        words = database.explain(error)
        if not run.settings.show_values:
            words = hide_values(error, words, assertion.query)
        return f"the query fails: {words}".rstrip(".")
    except ResourceClosedError:
        return "the query gives no rows at all; an assertion is a SELECT"
    return (
        ""
        if holds(assertion.expect, rows)
        else f"expected {_describe_expected(assertion.expect)}, found {_found(assertion.expect, rows)}"
    )


def holds(expect: Any, rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the rows of a query are what `expect` says (see `settings.keys.Assertion`)."""
    wanted = expect if isinstance(expect, list) else [expect]
    lists = [one if isinstance(one, list) else [one] for one in wanted]
    return len(rows) == len(lists) and all(
        len(row) == len(values) and all(map(_same, row, values))
        for row, values in zip(rows, lists, strict=True)
    )


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, str):
        return found is not None and str(found) == expected
    # SQLite and MySQL have 0 and 1 for a boolean, which Python calls equal
    return isinstance(found, (int, float, Decimal)) and found == expected


def _describe_expected(expect: Any) -> str:
    if isinstance(expect, list):
        return _count(expect)
    return repr(expect) if isinstance(expect, str) else str(expect)


def _count(rows: Sequence[Any]) -> str:
    return plural(len(rows), "row") if rows else "no rows"


def _found(expect: Any, rows: Sequence[Sequence[Any]]) -> str:
    """Numbers are shown; a text may be somebody's."""
    if not isinstance(expect, list) and len(rows) == 1 and len(rows[0]) == 1:
        value = rows[0][0]
        if value is None:
            return "NULL"
        return str(value) if isinstance(value, (int, float, Decimal)) else "another value"
    if len(rows) > MOST_ROWS:
        return f"more than {MOST_ROWS} rows"
    same = isinstance(expect, list) and len(rows) == len(expect)
    return "others" if same else _count(rows)

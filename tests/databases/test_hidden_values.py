"""Errors of masks and assertions tell no value of a row."""

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError

from ci_migrate.databases.hidden_values import hide_values


@pytest.mark.parametrize(
    ("words", "sql", "told"),
    [
        ('relation "nowhere" does not exist', "select 1 from nowhere", 'relation "nowhere" does not exist'),
        ("no such table: nowhere", "select 1 from nowhere", "no such table: nowhere"),
        ("no such column: emial", "select emial from users", "no such column: emial"),
        ("no such column: ana", "select 1 from f where f match (select name)", "no such column: ***"),
        ("unable to open database: /tmp/ana", "attach (select name) as one", "unable to open database: ***"),
        (
            'invalid input syntax for type integer: "ana" or "bo"" (SQLSTATE 22P02)',
            "select cast(name as integer) from analysis",
            'invalid input syntax for type integer: "***" (SQLSTATE 22P02)',
        ),
        (
            "Duplicate entry 'O'Hara' for key 'users.PRIMARY' (1062)",
            "update users set id = 1",
            "Duplicate entry '***' (1062)",
        ),
        ("bad row ana (SQLSTATE P0001)", "update users set id = 1", "*** (SQLSTATE P0001)"),
        ("bad row ana (1644)", "update users set id = 1", "*** (1644)"),
    ],
)
def test_what_is_quoted_and_not_asked_for_is_hidden(words: str, sql: str, told: str) -> None:
    assert hide_values(ValueError(words), words, sql) == told


class Raised(Exception):
    """As psycopg tells of a RAISE, with any code."""

    diag = SimpleNamespace(source_function="exec_stmt_raise")


class RaisedInTrigger(Exception):
    """As sqlite3 tells of RAISE(ABORT, ...)."""

    sqlite_errorname = "SQLITE_CONSTRAINT_TRIGGER"


@pytest.mark.parametrize(
    ("error", "words", "told"),
    [
        (Raised(), "address ana may not change (SQLSTATE 23514)", "*** (SQLSTATE 23514)"),
        (Raised(), "ana (SQLSTATE 22000)", "*** (SQLSTATE 22000)"),
        (DBAPIError("", {}, Raised()), "ana (SQLSTATE 23514)", "*** (SQLSTATE 23514)"),
        (RaisedInTrigger(), "address ana may not change", "***"),
    ],
)
def test_a_raise_with_a_code_of_the_servers_is_somebodys_text(error, words: str, told: str) -> None:
    assert hide_values(error, words, "select ana") == told

"""Errors of masks and assertions tell no value of a row."""

import pytest

from ci_migrate.databases.hidden_values import hide_values


@pytest.mark.parametrize(
    ("words", "sql", "told"),
    [
        ('relation "nowhere" does not exist', "select 1 from nowhere", 'relation "nowhere" does not exist'),
        ("no such table: nowhere", "select 1 from nowhere", "no such table: nowhere"),
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
    assert hide_values(words, sql) == told

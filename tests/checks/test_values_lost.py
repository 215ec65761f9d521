"""CM602: values that became NULL or something empty, which statement did it, and what loses nothing. F92."""

import pytest

from ci_migrate.model import Severity

ROWS = (
    "create table docs (id integer primary key, data json, note text not null, tag text)",
    """insert into docs values (1, '{"a": 1}', 'one', 'x'), (2, '{"a": 2}', '', null), (3, '[1]', 'three', ''),
    (4, 'null', ' ', 'y')""",
)


@pytest.fixture
def docs(filled):
    """docs: data holds something in 3 of 4 rows, note in 2, tag in 2."""
    for statement in ROWS:
        filled.sql(statement)
    return filled


def lost(report):
    return [f for f in report.findings if f.code == "CM602"]


@pytest.mark.parametrize(
    ("upgrade", "words"),
    [
        (
            "update docs set data = 'null' where id < 3",
            "docs.data had 3 values before and has 1 after: 2 became empty.",
        ),
        ("update docs set data = '{}'", "docs.data had 3 values before and has 0 after: 3 became empty."),
        (
            "update docs set data = '[]' where id = 3",
            "docs.data had 3 values before and has 2 after: 1 became empty.",
        ),
        ("update docs set note = ''", "docs.note had 2 values before and has 0 after: 2 became empty."),
        (
            "update docs set note = '  ' where id = 1",
            "docs.note had 2 values before and has 1 after: 1 became empty.",
        ),
        (
            "update docs set tag = null where id = 1",
            "docs.tag had 2 values before and has 1 after: 1 became NULL.",
        ),
        (
            "update docs set tag = null",
            "docs.tag had 2 values before and has 0 after: 2 became NULL or empty.",
        ),
        (
            "alter table docs drop column note; alter table docs add column note text not null default ''",
            "docs.note had 2 values before and has 0 after: 2 became empty.",
        ),
        (
            "update docs set data = 'null'; delete from docs where id = 1",
            "docs.data had 3 values before and has 0 after: 2 became NULL or empty, 1 with their rows.",
        ),
    ],
)
def test_F92_values_that_became_empty_are_lost(rehearse, docs, upgrade, words):
    report = rehearse(upgrade)
    (found,) = lost(report)
    assert found.severity is Severity.ERROR
    assert found.message == f"Column {words}"
    assert (found.revision, found.file) == ("r2", "migrations/versions/r2.py")
    assert found.line


def test_F92_the_statement_that_did_it_is_named(rehearse, docs):
    """Not the last one that writes to the table."""
    first, second = "update docs set data = 'null'", "update docs set note = 'x'"
    report = rehearse(f'op.execute("{first}")\nop.execute("{second}")')
    (found,) = lost(report)
    script = (docs.folder / found.file).read_text().splitlines()
    assert first in script[found.line - 1]


@pytest.mark.parametrize(
    "upgrade",
    [
        "update docs set tag = null where tag = ''",
        "update docs set tag = '' where tag is null",
        "update docs set data = null where data = 'null'",
        "update docs set data = '{}' where data = 'null'",
        "update docs set note = trim(note)",
        "alter table docs add column more text not null default ''",
        "alter table docs add column more json default '{}'",
        "insert into docs values (5, '{}', '', null)",
        "update docs set data = '[2]'",
        "delete from docs where id = 4 and data = 'null'; update docs set tag = null where tag = ''",
    ],
)
def test_F92_what_held_nothing_is_not_lost(rehearse, docs, upgrade):
    assert lost(rehearse(upgrade)) == []


def test_F92_the_downgrade_loses_them_too(rehearse, docs):
    """And says how many."""
    docs.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
    docs.revision("r2", "r1", "pass", "update docs set data = '{}'")
    assert docs.gate("run").exit_code == 0
    done = docs.call("rollback", "--to", "r1", "--yes")
    assert "The downgrade loses 3 of 3 values of column docs.data" in " ".join(done.text.split())


def test_F92_the_report_tells_of_them(rehearse, docs):
    from ci_migrate.reports.story import row_changes

    evidence = rehearse("update docs set data = 'null' where id = 1").evidence
    assert row_changes(evidence) == [("docs", "4", "4", "data: 3 -> 2 values")]

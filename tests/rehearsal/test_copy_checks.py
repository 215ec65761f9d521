"""Checks that look into copies: the restored one, the migrated one, and a second restored one where both are wanted."""

import pytest
from alembic_project import AlembicProject

from ci_migrate.model import Severity

FILE = '''
def check_before(before):
    """The copy that is not migrated yet."""
    assert columns(before) == 3, f"before: {columns(before)}"


def check_after(after):
    """The migrated one."""
    assert columns(after) == 4, f"after: {columns(after)}"


def check_both(before, after):
    """Both at once."""
    assert (columns(before), columns(after)) == (3, 4), f"both: {columns(before)}, {columns(after)}"


def columns(connection):
    return len(connection.exec_driver_sql("select * from users").keys())
'''
SETTINGS = 'plugins = ["ours.py"]\n[targets.dev]\nurl = "sqlite:///app.db"\n'


@pytest.fixture
def checked(filled: AlembicProject) -> AlembicProject:
    filled.write("ours.py", FILE)
    filled.settings(SETTINGS)
    return filled


def found(report) -> set[str]:
    return {f.message for f in report.findings if f.severity is Severity.ERROR}


def test_each_sees_its_copy(checked, rehearse):
    report = rehearse("alter table users add age integer", "alter table users drop column age")
    assert found(report) == set(), report
    assert report.exit_code == 0


def test_what_they_refuse_is_told_for_each(checked, rehearse):
    report = rehearse("create table t (id integer)", "drop table t")
    assert report.exit_code == 1
    words = " ".join(found(report))
    assert "after: 3" in words
    assert "both: 3, 3" in words
    assert "before: " not in words


def test_where_the_migration_fails_only_the_restored_copy_was_looked_at(checked, rehearse):
    report = rehearse("insert into nowhere values (1)", "pass")
    assert report.exit_code == 1
    assert "both" not in " ".join(found(report))


def test_what_a_check_writes_is_refused(checked, rehearse):
    checked.write(
        "ours.py", FILE + "\n\ndef check_writes(after):\n    after.exec_driver_sql('delete from users')\n"
    )
    report = rehearse("alter table users add age integer", "alter table users drop column age")
    assert report.exit_code == 1
    assert report.evidence.tables["users"].after.rows == 3
    (words,) = found(report)
    assert "readonly" in words.replace("-", "").replace(" ", "").lower()


def test_no_copy_is_left(checked, rehearse):
    rehearse("alter table users add age integer", "alter table users drop column age")
    assert not list(checked.folder.rglob("*_before*"))

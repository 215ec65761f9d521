"""Models beside the migrated copy: only where the plan leads to the newest revision, and never a reason to stop."""

import pytest

MODELS = """
import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text),
         sa.Column("email", sa.Text), sa.Column("age", sa.Integer))
"""


@pytest.fixture
def with_models(filled):
    """env.py has models, which have a column `age` that `r1` lacks."""
    env = filled.folder / "migrations" / "env.py"
    env.write_text(MODELS + env.read_text().replace("target_metadata=None", "target_metadata=metadata"))
    return filled


def drift(report) -> list[str]:
    return [f.message for f in report.findings if f.code == "CM502"]


def test_models_that_fit(with_models, rehearse):
    assert drift(rehearse("alter table users add age integer", "alter table users drop column age")) == []


def test_models_that_are_ahead(with_models, rehearse):
    (words,) = drift(rehearse("create table t (id integer primary key)", "drop table t"))
    assert "column users.age is in the models only" in words
    assert "table t is in the database only" in words


def test_without_models_nothing_is_compared(rehearse):
    assert drift(rehearse("create table t (id integer primary key)", "drop table t")) == []


def test_on_the_way_models_are_ahead_rightly(with_models):
    with_models.revision("r2", "r1", "create table t (id integer primary key)", "drop table t")
    with_models.revision("r3", "r2", "drop table t; alter table users add age integer", "pass")
    assert drift(with_models.gate("dry-run", "r2")) == []
    assert drift(with_models.gate("dry-run")) == []


def test_a_compare_that_breaks_is_told_and_refuses_nothing(with_models, rehearse):
    """It is a warning: what env.py's hooks raise says nothing of the migration."""
    env = with_models.folder / "migrations" / "env.py"
    env.write_text(
        "def breaks(*_):\n    raise RuntimeError('no compare today')\n"
        + env.read_text().replace(
            "target_metadata=metadata", "target_metadata=metadata, include_object=breaks"
        )
    )
    report = rehearse("alter table users add age integer", "alter table users drop column age")
    assert report.exit_code == 0, report
    (words,) = drift(report)
    assert "(Alembic could not compare: " in words
    assert "no compare today" in words

"""What the settings ask of the migrated copy: models, assertions, the previous release's tests."""

import sys
from datetime import date
from decimal import Decimal

import pytest

from ci_migrate.rehearsal.assertions import holds

DEV = '\n[targets.dev]\nurl = "sqlite:///app.db"\n'


def only(report, code):
    (found,) = [f for f in report.findings if f.code == code]
    return found


def codes(report):
    return {f.code for f in report.findings}


# --------------------------------------------------------------------------- CM502


MODELS = """
def included(_object, _name, kind, _reflected, _other):
    return kind != "foreign_key_constraint"

import sqlalchemy as sa
metadata = sa.MetaData()
sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text),
         sa.Column("email", sa.Text, nullable=False), sa.Column("age", sa.Integer))
sa.Table("posts", metadata, sa.Column("id", sa.Integer, primary_key=True),
         sa.Column("user_id", sa.ForeignKey("users.id", ondelete="cascade"), nullable=False),
         sa.Column("title", sa.String(20)), sa.Index("ix_title", "title"), sa.UniqueConstraint("title", name="uq"))
"""


def with_models(project):
    env = project.folder / "migrations" / "env.py"
    text = env.read_text().replace(
        "target_metadata=None", "target_metadata=metadata, include_object=included"
    )
    env.write_text(MODELS + text)


def test_cm502_models_and_database_differ_once_all_ran(rehearse, filled):
    with_models(filled)
    found = only(rehearse('op.add_column("posts", sa.Column("body", sa.Text))'), "CM502")
    assert not found.refuses
    words = found.message
    assert "table empty is in the database only" in words
    assert "index posts.ix_title is in the models only" in words
    assert "column posts.title: type is TEXT, VARCHAR(20) in the models" in words

    assert "and 2 more" in words, words


def test_cm502_they_fit_and_where_the_plan_leads_elsewhere(rehearse, filled):
    with_models(filled)
    every = """
op.drop_table("empty")
op.add_column("users", sa.Column("age", sa.Integer))
with op.batch_alter_table("users") as batch:
    batch.alter_column("email", nullable=False)
with op.batch_alter_table("posts") as batch:
    batch.alter_column("title", type_=sa.String(20))
    batch.create_index("ix_title", ["title"])
    batch.create_unique_constraint("uq", ["title"])
"""
    report = rehearse(every)
    assert "CM502" not in codes(report)
    filled.revision("r3", "r2", 'op.drop_column("users", "age")')
    assert "CM502" not in codes(filled.gate("dry-run", "r2")), "not the newest revision"
    assert "column users.age is in the models only" in only(filled.gate("dry-run"), "CM502").message


# --------------------------------------------------------------------------- CM604


@pytest.mark.parametrize(
    ("expect", "rows", "fits"),
    [
        (0, [(0,)], True),
        (0, [(Decimal(0),)], True),
        (0, [(1,)], False),
        (0, [], False),
        (0, [(None,)], False),
        (0, [(0,), (0,)], False),
        (0, [(0, 0)], False),
        (True, [(1,)], True),
        ("x", [("x",)], True),
        ("None", [(None,)], False),
        (5, [("5",)], False),
        ("2027-01-31", [(date(2027, 1, 31),)], True),
        ([], [], True),
        ([], [(1,)], False),
        ([1, 2], [(1,), (2,)], True),
        ([[1, "a"], [2, "b"]], [(1, "a"), (2, "b")], True),
        ([[1, "a"]], [(1, "b")], False),
    ],
)
def test_what_a_query_must_give(expect, rows, fits):
    assert holds(expect, rows) is fits


def assertion(name, query, expect, when="after"):
    return f'[[assertions]]\nname = "{name}"\nquery = """{query}"""\nexpect = {expect}\nwhen = "{when}"\n'


def test_cm604_before_and_after_in_the_dry_run(rehearse, filled):
    filled.settings(
        assertion("three people", "select count(*) from users", 3, "both")
        + assertion("no letters", "select name from users where name like '%a'", "[]", "before")
        + assertion("bo is there", "select name from users where id = 2", '"bo"')
        + assertion("no writing", "update users set name = 'x'", "[]", "before")
        + assertion("no table", "select 1 from missing", 1, "before")
        + DEV
    )
    report = rehearse(
        "insert into users values (4, 'di', 'd@x'); update users set name = 'secret' where id = 2"
    )
    found = [f for f in report.findings if f.code == "CM604"]
    assert all(f.refuses for f in found)
    said = {f.message for f in found}
    assert "three people, after the migration: expected 3, found 4." in said
    assert "bo is there, after the migration: expected 'bo', found another value." in said
    assert "no letters, before the migration: expected no rows, found 1 row." in said
    assert any(words.startswith("no writing, before the migration: the query fails") for words in said)
    assert any("no such table: missing" in words for words in said)
    assert len(said) == 5, said
    assert "secret" not in repr(report.findings)


def test_cm604_on_the_target_after_it_migrated(filled):
    """What holds in the rehearsal and not on the target ends with 7; acknowledged, it does not."""
    differs = assertion(
        "the copy only", "select count(*) from pragma_database_list where file like '%app.db'", 0
    )
    filled.settings('allow = ["CM604=meant"]\n' + differs + DEV)
    filled.revision("r2", "r1", "create table more (id integer)", "drop table more")
    report = filled.gate("run")
    assert report.exit_code == 0, report
    assert only(report, "CM604").acknowledged == "meant"
    filled.settings(differs + DEV)
    filled.revision("r3", "r2", "create table yet_more (id integer)", "drop table yet_more")
    report = filled.gate("run")
    assert report.exit_code == 7
    words = "CM604 assertion-fails: the copy only, after the migration: expected 0, found 1."
    assert words in report.result("verify").message


def test_cm604_a_query_without_end_is_ended(rehearse, filled):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    filled.settings('assertion-timeout = "200ms"\n' + assertion("endless", endless, 1, "before") + DEV)
    assert "the query fails: " in only(rehearse("create table more (id integer)"), "CM604").message


# --------------------------------------------------------------------------- CM605


def command(code):
    return f"previous-release = [{sys.executable!r}, '-c', '''{code}''']\n"


def test_cm605_the_previous_release_on_a_copy_of_its_own(rehearse, filled):
    code = """
import os, sqlite3
print(os.environ["DATABASE_URL"], "token", repr(os.environ.get("CI_MIGRATE_TOKEN", "")))
database = sqlite3.connect(os.environ["DATABASE_URL"].partition("///")[2])
database.execute("insert into posts (user_id, title) values (1, 1)")
database.commit()
print(len(database.execute("select full_name from users").fetchall()), "people")
database.execute("select name from users")
"""
    filled.settings(command(code) + DEV)
    report = rehearse(
        "alter table users rename column name to full_name", "alter table users rename full_name to name"
    )
    found = only(report, "CM605")
    assert found.refuses
    assert "no such column: name" in found.message
    details = report.result("dry-run").details
    assert "3 people" in details
    assert "Traceback" in details
    assert "token ''" in details
    assert "app.db" not in details
    filled.settings(command(code.replace("select name", "select full_name")) + DEV)
    report = rehearse(
        "alter table users rename column name to full_name", "alter table users rename full_name to name"
    )
    assert "CM605" not in codes(report)
    assert "3 people" in report.result("dry-run").details


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("previous-release = ['no-such-program']\n", "no-such-program could not be started"),
        (
            "previous-release-timeout = '300ms'\n" + command("import time; time.sleep(60)"),
            "took longer than 0.3 s",
        ),
    ],
)
def test_cm605_a_command_that_does_not_come_back(rehearse, filled, settings, words):
    filled.settings(settings + DEV)
    assert words in only(rehearse("create table more (id integer)"), "CM605").message

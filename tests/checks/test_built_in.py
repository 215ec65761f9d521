"""Each built-in check in a real project: what it finds, where, and the look-alikes that it leaves alone."""

import pytest

from ci_migrate.model import Severity


def of(report, code: str):
    return [f for f in report.findings if f.code == code]


def only(report, code: str):
    """The one finding with this code."""
    (found,) = of(report, code)
    return found


BATCH = """
with op.batch_alter_table("{table}") as batch:
    {body}
"""


# --------------------------------------------------------------------------- CM101


def test_M9_cm101_two_heads(alembic_project):
    alembic_project.revision("r2b", "r1", "pass")
    report = alembic_project.gate("check")
    found = only(report, "CM101")
    assert found.refuses
    assert "r2, r2b" in found.message
    assert report.exit_code == 1
    assert of(alembic_project.gate("check", destination="heads"), "CM101") == []
    assert of(alembic_project.gate("check", destination="r2b"), "CM101") == []


def test_cm101_a_branch_that_was_merged(alembic_project):
    alembic_project.revision("r2b", "r1", "pass")
    alembic_project.revision("r3", ("r2", "r2b"), "pass")
    assert of(alembic_project.gate("check"), "CM101") == []


def test_two_heads_of_a_labelled_branch(alembic_project):
    alembic_project.revision("r2b", "r1", "pass", extra='branch_labels = ("left",)')
    for name in ("r3a", "r3b"):
        alembic_project.revision(name, "r2b", "pass")
    done = alembic_project.call("plan", "--to", "left@head")
    assert done.code == 1
    assert "merge them: alembic merge -m MESSAGE r3a r3b" in " ".join(done.text.split())


# --------------------------------------------------------------------------- CM102


def test_cm102_an_edit_after_it_was_applied(alembic_project):
    assert alembic_project.gate("run", "r1").exit_code == 0
    path = alembic_project.folder / "migrations" / "versions" / "r1.py"
    text = path.read_text()
    pending = path.with_name("r2.py")
    pending.write_text(pending.read_text() + "\n# edited before it is applied\n")
    assert of(alembic_project.gate("check"), "CM102") == []
    path.write_text(text + "\nedited = True\n")
    found = only(alembic_project.gate("check"), "CM102")
    assert found.refuses
    assert (found.revision, found.file) == ("r1", "migrations/versions/r1.py")
    path.write_text(text)
    assert of(alembic_project.gate("check"), "CM102") == []


# --------------------------------------------------------------------------- CM201


def test_cm201_a_table_with_rows(rehearse):
    found = only(rehearse("drop table posts"), "CM201")
    assert found.refuses
    assert "posts goes away with 2 rows" in found.message
    assert (found.revision, found.file) == ("r2", "migrations/versions/r2.py")
    assert found.line


@pytest.mark.parametrize(
    "upgrade",
    [
        "drop table empty",
        'op.rename_table("posts", "articles")',
        BATCH.format(table="users", body='batch.alter_column("name", new_column_name="full_name")'),
        BATCH.format(table="posts", body='batch.add_column(sa.Column("body", sa.Text))'),
        'op.add_column("users", sa.Column("age", sa.Integer))',
        'op.create_index("ix", "posts", ["title"])',
        "create table more (id integer); drop table more",
    ],
)
def test_nothing_is_lost_by(rehearse, upgrade):
    """Renames, rebuilds and additions: no finding on data."""
    report = rehearse(upgrade)
    assert {f.code for f in report.findings} <= {"CM401", "CM402"}


def test_cm201_a_table_that_is_made_anew_without_its_rows(rehearse):
    report = rehearse("drop table posts; create table posts (id integer primary key)")
    assert any(f.refuses for f in report.findings), report.findings


# --------------------------------------------------------------------------- CM202


@pytest.mark.parametrize(
    "upgrade",
    ['op.drop_column("users", "email")', BATCH.format(table="users", body='batch.drop_column("email")')],
    ids=["alter", "rebuild"],
)
def test_cm202_a_column_with_values(rehearse, upgrade):
    found = only(rehearse(upgrade), "CM202")
    assert found.refuses
    assert "users.email goes away with 3 values" in found.message
    assert (found.revision, found.file) == ("r2", "migrations/versions/r2.py")


def test_cm202_a_column_without_values(rehearse):
    assert of(rehearse("alter table empty drop column word"), "CM202") == []


def test_cm202_a_column_that_was_renamed(rehearse):
    assert of(rehearse("alter table users rename column email to mail"), "CM202") == []


# --------------------------------------------------------------------------- CM401 and CM402


def test_M19_cm401_no_downgrade(rehearse):
    report = rehearse('op.add_column("users", sa.Column("age", sa.Integer))', "pass")
    found = only(report, "CM401")
    assert (found.severity, found.file) == (Severity.WARNING, "migrations/versions/r2.py")
    assert not report.evidence.way_back.tried


def test_cm401_a_merge_has_nothing_to_take_back(alembic_project):
    alembic_project.revision("r2b", "r1", "create table more (id integer)", "drop table more")
    alembic_project.revision("r3", ("r2", "r2b"), "pass", "pass")
    report = alembic_project.gate("dry-run")
    assert of(report, "CM401") == []
    assert report.evidence.way_back.proven


def test_cm401_require_downgrade(rehearse, filled):
    filled.settings('require-downgrade = true\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert only(rehearse("create table more (id integer)", "pass"), "CM401").refuses


def test_M19_cm401_and_cm402_a_downgrade_that_leads_back(rehearse):
    report = rehearse("create table more (id integer)", "drop table more")
    assert report.findings == ()
    assert report.evidence.way_back.proven


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "words"),
    [
        ("create table more (id integer)", "drop table nothing", "downgrade of r2"),
        ("create table more (id integer)", "create table leftover (id integer)", "schema is not what it was"),
        ("alter table users add column age integer", "update users set name = 'x'; alter table users drop column age", "users"),
    ],
    ids=["fails", "other-schema", "other-rows"],
)  # fmt: skip
def test_M19_cm402_a_downgrade_that_does_not(rehearse, filled, upgrade, downgrade, words):
    report = rehearse(upgrade, downgrade)
    found = only(report, "CM402")
    assert found.severity is Severity.WARNING
    assert words in found.message
    assert not report.evidence.way_back.proven
    filled.settings('require-downgrade = true\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert only(rehearse(upgrade, downgrade), "CM402").refuses


# --------------------------------------------------------------------------- CM601 and CM602


def test_cm601_rows_that_go(rehearse):
    found = only(rehearse("delete from users where name is null"), "CM601")
    assert found.refuses
    assert "users had 3 rows before and has 2 after" in found.message
    assert found.revision == "r2"


def test_cm601_a_rebuild_with_foreign_keys_on_takes_the_children(rehearse, filled):
    env = filled.folder / "migrations" / "env.py"
    env.write_text(
        env.read_text().replace(
            "context.configure(connection",
            'connection.exec_driver_sql("PRAGMA foreign_keys=ON"); connection.commit()\n'
            "        context.configure(connection",
        )
    )
    report = rehearse(BATCH.format(table="users", body='batch.alter_column("name", type_=sa.String(10))'))
    found = only(report, "CM601")
    assert "posts had 2 rows before and has 0 after" in found.message
    assert "ON DELETE CASCADE" in found.fix


def test_cm602_values_that_become_null(rehearse):
    found = only(rehearse("update users set email = null where id = 1"), "CM602")
    assert found.refuses
    assert "users.email had 3 values before and has 2 after" in found.message
    assert found.revision == "r2"


@pytest.mark.parametrize(
    "upgrade",
    [
        "update users set name = 'cy' where name is null",
        "update users set email = upper(email)",
        "insert into users values (4, null, null)",
        "delete from users where id = 3; insert into users values (3, null, 'c@x')",
    ],
)
def test_cm601_and_cm602_data_that_only_changes(rehearse, upgrade):
    assert {f.code for f in rehearse(upgrade).findings} == {"CM401"}


# --------------------------------------------------------------------------- acknowledged, ignored, graded


ALLOW = 'ci_migrate = {"allow": {"CM202": "moved to profile in 3f2a"}}'
DROPS = 'op.drop_column("users", "email")'


def test_acknowledged_in_the_revision(rehearse):
    found = only(rehearse(DROPS, extra=ALLOW), "CM202")
    assert not found.refuses
    assert found.acknowledged == "moved to profile in 3f2a"
    assert found.severity is Severity.ERROR, "it stays in the report as what it is"


@pytest.mark.parametrize("place", ["CM202@r2", "CM202"])
def test_acknowledged_by_a_flag_or_in_the_settings(rehearse, filled, place):
    assert only(rehearse(DROPS, allow=[f"{place}=ticket 4711"]), "CM202").acknowledged == "ticket 4711"
    filled.settings(f'allow = ["{place}=ticket 4711"]\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    assert only(rehearse(DROPS), "CM202").acknowledged == "ticket 4711"


@pytest.mark.parametrize(
    ("flags", "extra"),
    [
        ({"allow": ["CM202@r1=another revision"]}, ""),
        ({"allow": ["CM201=another code"]}, ""),
        ({}, ALLOW.replace("CM202", "CM201")),
        ({}, 'ci_migrate = {"allow": {"CM202": " "}}'),
    ],
    ids=["other-revision", "other-code", "other-code-in-the-script", "no-reason"],
)
def test_not_acknowledged(rehearse, flags, extra):
    assert only(rehearse(DROPS, extra=extra, **flags), "CM202").refuses


@pytest.mark.parametrize("grade", ["warning", "info", "ignore", "error"])
def test_graded_by_settings(rehearse, filled, grade):
    filled.settings(f'[checks]\nCM202 = "{grade}"\n[targets.dev]\nurl = "sqlite:///app.db"\n')
    found = of(rehearse(DROPS), "CM202")
    assert [f.severity.value for f in found] == ([] if grade == "ignore" else [grade])

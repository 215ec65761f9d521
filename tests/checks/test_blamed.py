"""Losses are found whatever a table is called, and blamed on the statement that did it. On each engine."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from alembic_project import AlembicProject, new_project
from ledger_support import some_evidence
from sqlalchemy import URL, create_engine

from ci_migrate.checks.blamed import Blamed
from ci_migrate.gate import run
from ci_migrate.model import Direction, Finding, Report, Statement
from ci_migrate.session import GateRequest
from ci_migrate.settings.settings import load
from ci_migrate.verbs import VERBS

URLS = {"postgresql": "postgresql_url", "mariadb": "mysql_url", "mysql": "mysql97_url"}
EACH = pytest.mark.parametrize("engine", ["sqlite", *URLS])
BACKTICKS = ("mariadb", "mysql")


@pytest.fixture
def project(engine: str, tmp_path, request: pytest.FixtureRequest) -> AlembicProject:
    project = new_project(tmp_path / "project", revisions=False)
    url = (
        request.getfixturevalue(URLS[engine])
        if engine in URLS
        else URL.create("sqlite", database=str(project.database))
    )
    if engine == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    project.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
    project.settings('[targets.dev]\nurl = "env:DATABASE_URL"\nscratch = "server"\n')
    return project


@pytest.fixture
def rehearse(project: AlembicProject, engine: str) -> Callable[..., Report]:
    """Rehearse a revision of these statements on a database that others have filled."""

    def rehearsed(before: Sequence[str], upgrade: Sequence[str]) -> Report:
        create(project, engine, before)
        project.revision("r1", None, "pass")
        project.revision("r2", "r1", lines(engine, upgrade))
        project.put_version_rows("r1") if engine == "sqlite" else put_version_rows(project)
        return project.gate("dry-run")

    return rehearsed


def quoted(engine: str, sql: str) -> str:
    return sql.replace('"', "`") if engine in BACKTICKS else sql


def lines(engine: str, statements: Sequence[str]) -> str:
    return "\n".join(f"op.execute({quoted(engine, one)!r})" for one in statements)


def create(project: AlembicProject, engine: str, statements: Sequence[str]) -> None:
    made = create_engine(project.environ["DATABASE_URL"])
    with made.begin() as connection:
        for one in statements:
            connection.exec_driver_sql(quoted(engine, one))
    made.dispose()


def put_version_rows(project: AlembicProject) -> None:
    create(
        project,
        "",
        [
            "create table alembic_version (version_num varchar(32) primary key)",
            "insert into alembic_version values ('r1')",
        ],
    )


def found(report: Report, code: str) -> list[tuple[str, str]]:
    """Message and blamed statement, by the comment that it begins with, of the findings of a code."""
    assert report.evidence is not None, report
    at = {(s.file, s.line): s.sql.split()[1] for s in report.evidence.statements if s.sql.startswith("/* ")}
    return [(f.message, at.get((f.file, f.line), blank(f))) for f in report.findings if f.code == code]


def blank(finding: Finding) -> str:
    return f"somewhere in {finding.revision}" if finding.revision else "nothing"


ODD = (
    'create table "My T" (id int primary key, "a b" varchar(9))',
    'create table "order" (id int primary key, "select" varchar(9))',
    "insert into \"My T\" values (1, 'x'), (2, 'y'), (3, 'z')",
    "insert into \"order\" values (1, 'x'), (2, 'y'), (3, 'z')",
)


@EACH
def test_F72_F93_a_name_that_needs_quotes_is_one_like_any_other(rehearse, engine):
    report = rehearse(
        [*ODD, 'create table "its own" (id int)', 'insert into "its own" values (1)'],
        [
            '/* gone */ drop table "its own"',
            '/* column */ alter table "My T" drop column "a b"',
            '/* deleted */ delete from "My T" where id = 1',
            '/* later */ create table made (id int primary key, "My T" int)',
            '/* nulled */ update "order" set "select" = null where id < 3',
        ],
    )
    (gone,), (column,), (deleted,), (nulled,) = (
        found(report, code) for code in ("CM201", "CM202", "CM601", "CM602")
    )
    assert gone[1] == "gone"
    assert "goes away with 1 row" in gone[0]
    assert column[1] == "column"
    assert "goes away with 3 values" in column[0]
    assert deleted[1] == "deleted"
    assert "1 are lost" in deleted[0]
    assert nulled[1] == "nulled"
    assert "2 became NULL" in nulled[0]


@EACH
def test_F72_CM403_has_a_line_for_quoted_names(project, engine):
    project.revision("r1", None, "pass")
    back = [
        '/* gone */ drop table "its own"',
        '/* column */ alter table "My T" drop column "a b"',
        '/* deleted */ delete from "My T" where id = 1',
        '/* nulled */ update "order" set "select" = null where id < 3',
    ]
    made = [*ODD, 'create table "its own" (id int)', 'insert into "its own" values (1)']
    project.revision("r2", "r1", lines(engine, made), lines(engine, back))
    assert project.gate("run").exit_code == 0
    report = run(
        load(project.folder, project.environment(), {}),
        GateRequest(VERBS["rollback"], direction=Direction.DOWNGRADE, destination="r1"),
    )
    blamed = dict(map(reversed, found(report, "CM403")))
    assert set(blamed) == {"gone", "column", "deleted", "nulled"}, report.findings


CHILD = (
    "create table parent (id int primary key, n int)",
    "create table child (id int primary key, parent int, foreign key (parent) references parent (id) on delete cascade)",
    "insert into parent values (1, 1), (2, 2), (3, 3)",
    "insert into child values (1, 1), (2, 1), (3, 3)",
)


@EACH
def test_F93_who_deleted_the_rows_is_blamed_and_not_who_speaks_of_deleting(rehearse, engine):
    """`ON DELETE CASCADE` deletes nothing, a DELETE that finds no row neither, and a text that says DROP least."""
    report = rehearse(
        CHILD,
        [
            "/* did */ delete from child where id < 3",
            "/* none */ delete from child where id > 100",
            "/* makes */ create table grandchild (id int primary key, child int references child (id) on delete cascade)",
            "/* fills */ insert into child values (9, 3)",
            "/* says */ update parent set n = 4 where 'drop child; delete from child' <> ''",
        ],
    )
    ((message, blamed),) = found(report, "CM601")
    assert blamed == "did", message
    (finding,) = [f for f in report.findings if f.code == "CM601"]
    assert "foreign keys" not in finding.fix, (
        "a DELETE of this table is no matter of a table that is made again"
    )


@EACH
def test_F93_a_cascade_is_blamed_on_the_statement_that_set_it_off(rehearse, engine):
    statements = ["/* set */ pragma foreign_keys = on"] if engine == "sqlite" else []
    report = rehearse(
        CHILD,
        [
            *statements,
            "/* cascade */ delete from parent where id = 1",
            "/* later */ drop table if exists child_, other_"
            if engine != "sqlite"
            else "/* later */ drop table if exists child_",
        ],
    )
    blamed = {message.split()[1].removeprefix("public."): by for message, by in found(report, "CM601")}
    assert blamed == {"parent": "cascade", "child": "cascade"}
    (child,) = [f for f in report.findings if f.code == "CM601" and "child had" in f.message]
    (parent,) = [f for f in report.findings if f.code == "CM601" and "parent had" in f.message]
    assert ("made again with foreign keys on" in child.fix) is (engine == "sqlite"), "that is SQLite's"
    assert "ON DELETE CASCADE" in child.fix
    assert parent.fix == ""


@EACH
def test_one_deleted_row_is_not_blamed_for_those_that_a_cascade_took(rehearse, engine):
    statements = ["pragma foreign_keys = on"] if engine == "sqlite" else []
    report = rehearse(
        CHILD,
        [
            *statements,
            "/* cascade */ delete from parent where id = 1",
            "/* one */ delete from child where id = 3",
        ],
    )
    blamed = {message.split()[1].removeprefix("public."): by for message, by in found(report, "CM601")}
    assert blamed == {"parent": "cascade", "child": "cascade"}
    (child,) = [f for f in report.findings if f.code == "CM601" and "child had" in f.message]
    assert "ON DELETE CASCADE" in child.fix


@EACH
def test_F93_of_several_that_may_have_set_it_off_none_is_blamed_but_the_revision(rehearse, engine):
    statements = ["pragma foreign_keys = on"] if engine == "sqlite" else []
    report = rehearse(
        [*CHILD, "create table log (id int)", "insert into log values (1), (2)"],
        [
            *statements,
            "/* cascade */ delete from parent where id = 1",
            "/* other */ delete from log where id = 2",
        ],
    )
    blamed = {message.split()[1].removeprefix("public."): by for message, by in found(report, "CM601")}
    assert blamed == {"parent": "cascade", "log": "other", "child": "somewhere in r2"}


@pytest.mark.parametrize("engine", ["postgresql"])
@pytest.mark.parametrize(
    "sql",
    [
        "do $$ begin delete from child where id < 3; end $$",
        "with gone as (delete from child where id < 3 returning *) select count(*) from gone",
        "do $body$ begin execute 'x'; exception when others then delete from child where id < 3; end $body$",
        "truncate only child",
    ],
)
def test_F93_rows_that_a_program_deletes(rehearse, sql):
    report = rehearse(CHILD, [f"/* did */ {sql}", "/* makes */ create table later (child int)"])
    ((_, blamed),) = found(report, "CM601")
    assert blamed == "did"


@EACH
def test_F93_a_table_that_is_filled_under_another_name(rehearse, engine):
    """As Alembic's batch mode does it, and many by hand."""
    report = rehearse(
        [
            "create table notes (id int primary key, word varchar(9))",
            "insert into notes values (1, 'a'), (2, 'b')",
        ],
        [
            "create table notes_new (id int primary key, word varchar(9))",
            "/* fills */ insert into notes_new select id, null from notes",
            "/* drops */ drop table notes",
            "/* renames */ alter table notes_new rename to notes",
            "/* says */ create table update_notes (notes int)",
        ],
    )
    ((_, blamed),) = found(report, "CM602")
    assert blamed == "fills"


@pytest.mark.parametrize("engine", ["sqlite"])
def test_of_several_tables_made_anew_the_first_without_the_column_dropped_it(project, engine):
    create(
        project,
        engine,
        [
            "create table people (id int primary key, a text, b text, c text)",
            "insert into people values (1, 'x', 'y', 'z')",
        ],
    )
    project.put_version_rows("r1")
    project.revision("r1", None, "pass")
    drop = 'with op.batch_alter_table("people", recreate="always") as people: people.{}'
    project.revision("r2", "r1", drop.format('add_column(sa.Column("d", sa.Integer))'))
    project.revision("r3", "r2", drop.format('drop_column("a")'))
    project.revision("r4", "r3", drop.format('drop_column("b")'))
    project.revision("r5", "r4", drop.format('add_column(sa.Column("e", sa.Integer))'))
    report = project.gate("dry-run")
    blamed = {f.message.split()[1]: f.revision for f in report.findings if f.code == "CM202"}
    assert blamed == {"people.a": "r3", "people.b": "r4"}, report.findings


@EACH
def test_a_table_that_is_renamed_and_then_dropped_is_lost_by_the_drop(rehearse, engine):
    report = rehearse(
        [
            "create table notes (id int primary key, word varchar(9))",
            "insert into notes values (1, 'a'), (2, 'b')",
            "create table people (id int primary key, email varchar(9))",
            "insert into people values (1, 'x')",
        ],
        [
            "/* renames */ alter table notes rename to old_notes",
            "/* again */ alter table old_notes rename to older_notes",
            "/* drops */ drop table older_notes",
            "/* moves */ alter table people rename column email to mail",
            "/* column */ alter table people drop column mail",
        ],
    )
    ((message, blamed),) = found(report, "CM201")
    assert blamed == "drops", message
    assert "notes goes away with 2 rows" in message
    assert "older" not in message
    ((message, blamed),) = found(report, "CM202")
    assert blamed == "column", message
    assert "people.email goes away with 1 value" in message


def of(*sql: str, **changes: Any) -> Blamed:
    statements = [
        Statement(position=n, context=0, revision="r2", file="r2.py", line=n, sql=one, digest="", seconds=0.0, rows=1)
        for n, one in enumerate(sql, 1)
    ]  # fmt: skip
    return Blamed(some_evidence(statements=tuple(statements), **changes), "postgresql")


@pytest.mark.parametrize(
    ("sql", "renamed", "line"),
    [
        (["ALTER TABLE a RENAME TO b"], True, 1),
        (['ALTER TABLE a RENAME TO "B ""c"', 'ALTER TABLE "B ""c" RENAME TO d'], True, 2),
        (["ALTER TABLE a RENAME TO b", "DROP TABLE b"], False, 2),
        (["ALTER TABLE a RENAME TO b", "ALTER TABLE b RENAME TO c", "DROP TABLE c"], False, 3),
        # another table takes the name and goes
        (["ALTER TABLE a RENAME TO b", "CREATE TABLE a (id int)", "DROP TABLE a"], True, 1),
        (["DROP TABLE a", "CREATE TABLE a (id int)", "ALTER TABLE a RENAME TO b"], False, 3),
        (["ALTER TABLE c RENAME TO b", "DROP TABLE b", "DROP TABLE a"], False, 3),
    ],
)
def test_where_a_table_went_without_rows_that_tell(sql, renamed, line):
    blamed = of(*sql)
    assert blamed.was_renamed("public.a") is renamed
    statement = blamed.for_table("public.a")
    assert statement is not None
    assert statement.line == line


@pytest.mark.parametrize("engine", ["sqlite"])
def test_several_databases_are_read_as_their_engine_reads(project, rehearse, tmp_path):
    """MySQL would take the backslash for an escape, and the DELETE for a part of the text."""
    other = tmp_path / "stats.db"
    other.touch()
    project.settings(
        f'[targets.dev]\nurl = "env:DATABASE_URL"\ndatabases = {{stats = "sqlite:///{other}"}}\n'
    )
    report = rehearse(
        CHILD,
        [
            "/* set */ pragma foreign_keys = on",
            r"/* cascade */ with path (name) as (select 'C:\') delete from parent where id = 1",
        ],
    )
    assert report.plan is not None
    assert report.plan.identity.dialect == "sqlite (2 databases)"
    assert {by for _, by in found(report, "CM601")} == {"cascade"}, report.findings
    (child,) = [f for f in report.findings if f.code == "CM601" and "child had" in f.message]
    assert "made again with foreign keys on" in child.fix, "that is SQLite's"

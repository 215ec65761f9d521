"""CM210: what goes although no statement names it."""

import pytest

from ci_migrate.checks.base import Facts
from ci_migrate.checks.lost_on_the_side import CHECK
from ci_migrate.model import (
    Direction,
    Evidence,
    Fingerprint,
    Identity,
    Plan,
    SchemaChange,
    Severity,
    Statement,
    WayBack,
)

ERROR, WARNING = Severity.ERROR, Severity.WARNING
REBUILD = (
    "CREATE TABLE _alembic_tmp_t (id INTEGER)",
    "DROP TABLE t",
    "ALTER TABLE _alembic_tmp_t RENAME TO t",
)
TRIGGER = ("trigger t.audit", "CREATE TRIGGER audit ...", None)
VIEW = ("view public.report", "SELECT 1", None)


def found(*changes: tuple[str, str | None, str | None], sql: tuple[str, ...], direction=Direction.UPGRADE):
    plan = Plan(
        target="dev", identity=Identity(dialect="x", place="x", facts={}), direction=direction, destination="head",
        contexts=(), revisions=(), env_sha256="", script_heads=(),
    )  # fmt: skip
    statements = tuple(
        Statement(
            position=n,
            context=0,
            revision="r1",
            file="r1.py",
            line=n,
            sql=text,
            digest="",
            seconds=0.0,
            rows=None,
        )
        for n, text in enumerate(sql, 1)
    )
    empty = Fingerprint(objects={})
    evidence = Evidence(
        proven=True, before=empty, after=empty, statements=statements, way_back=WayBack(tried=False),
        changes=tuple(SchemaChange(name=name, before=before, after=after) for name, before, after in changes),
    )  # fmt: skip
    return list(CHECK.find(CHECK, Facts(plan=plan, evidence=evidence)))


def column(before: str, after: str) -> tuple[str, str, str]:
    return ("column t.c", before, after)


@pytest.mark.parametrize(
    ("changes", "sql", "severity", "line"),
    [
        ([TRIGGER], REBUILD, ERROR, 2),
        ([VIEW], ("ALTER TABLE people DROP COLUMN code CASCADE", "SELECT 1"), ERROR, 1),
        ([("materialized view public.m", "SELECT 1", None)], ("DROP TABLE people CASCADE",), ERROR, 1),
        ([("constraint t.check(a >= 0)", "CHECK (a >= 0)", None)], REBUILD, ERROR, 1),
        ([("constraint t.check(a IN (0, 1))", "CHECK (a IN (0, 1))", None)], REBUILD, WARNING, 1),
        (
            [("constraint t.primary key", "PRIMARY KEY (id) AUTOINCREMENT", "PRIMARY KEY (id)")],
            REBUILD,
            ERROR,
            1,
        ),
        (
            [column("varchar(9) not null default 'x'", "text")],
            ("ALTER TABLE t MODIFY c TEXT NULL",),
            WARNING,
            1,
        ),
        (
            [column("int(11) not null auto_increment", "bigint(20) not null")],
            ("alter table t modify `c` bigint",),
            WARNING,
            1,
        ),
    ],
)
def test_what_nobody_named_is_found_where_it_went(changes, sql, severity, line) -> None:
    (finding,) = found(*changes, sql=sql)
    assert (finding.code, finding.severity, finding.revision, finding.line) == ("CM210", severity, "r1", line)


@pytest.mark.parametrize(
    ("changes", "sql"),
    [
        ([TRIGGER], (*REBUILD, "DROP TRIGGER audit")),
        ([TRIGGER, ("table t", "", None)], ("DROP TABLE t",)),  # goes with its table
        ([VIEW], ("DROP VIEW report",)),
        ([VIEW], ("DROP SCHEMA public CASCADE",)),
        ([VIEW], ("DO $$ BEGIN EXECUTE 'DROP VIEW ' || 're' || 'port'; END $$",)),
        ([("constraint t.check(a >= 0)", "CHECK (a >= 0)", None)], ("ALTER TABLE t DROP CONSTRAINT c",)),
        ([("constraint t.check(a >= 0)", "CHECK (a >= 0)", None), ("column t.a", "INTEGER", None)], REBUILD),
        ([("constraint t.check(a >= 0)", "CONSTRAINT ck CHECK (a >= 0)", None)], REBUILD),
        ([("constraint t.unique(a)", "UNIQUE (a)", None)], REBUILD),
        ([column("varchar(9) not null", "varchar(9)")], ("ALTER TABLE t MODIFY c VARCHAR(9) NULL",)),
        ([column("varchar(9) not null", "text not null")], ("ALTER TABLE t MODIFY c TEXT NOT NULL",)),
        (
            [column("varchar(9) default NULL", "text default NULL")],
            ("ALTER TABLE t MODIFY c TEXT",),
        ),
        (
            [column("character varying(9) NOT NULL", "text")],
            ("ALTER TABLE t ALTER COLUMN c DROP NOT NULL",),
        ),
    ],
)
def test_what_is_meant_is_none(changes, sql) -> None:
    assert found(*changes, sql=sql) == []


def test_a_downgrade_takes_back_what_it_likes() -> None:
    assert found(TRIGGER, sql=REBUILD, direction=Direction.DOWNGRADE) == []


def test_batch_mode_on_a_real_file(rehearse, filled) -> None:
    filled.sql("create trigger busy after insert on users begin update empty set word = new.name; end")
    report = rehearse(
        'with op.batch_alter_table("users") as b:\n    b.alter_column("name", type_=sa.String(9))',
        'with op.batch_alter_table("users") as b:\n    b.alter_column("name", type_=sa.Text())',
    )
    (finding,) = [f for f in report.findings if f.refuses]
    assert finding.code == "CM210"
    assert "Trigger users.busy goes" in finding.message

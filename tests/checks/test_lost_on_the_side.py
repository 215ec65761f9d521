"""CM210: what goes although no statement names it."""

import ast
import time

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
BY_HAND = ("CREATE TABLE made_anew (id INTEGER)", "DROP TABLE t", "ALTER TABLE made_anew RENAME TO t")
SELECTED = ("CREATE TABLE made_anew AS SELECT * FROM t", "DROP TABLE t", "ALTER TABLE made_anew RENAME TO t")
FOREIGN_KEY = ("constraint trades.to_country", "FOREIGN KEY (country) REFERENCES countries(id)", None)


def found(*changes: tuple[str, str | None, str | None], sql: tuple[str, ...], direction=Direction.UPGRADE):
    plan = Plan(
        target="dev", identity=Identity(dialect="mysql", place="x", facts={}), direction=direction, destination="head",
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
            ERROR,
            1,
        ),
        (
            [column("int(11) not null auto_increment", "bigint(20) not null")],
            ("alter table t modify `c` bigint",),
            ERROR,
            1,
        ),
        (
            [column("varchar(9) comment 'x'", "varchar(20)")],
            ("ALTER TABLE t MODIFY c VARCHAR(20)",),
            WARNING,
            1,
        ),
        (  # NOT NULL was meant, the default not
            [column("varchar(9) default 'x'", "varchar(9) not null")],
            ("ALTER TABLE t MODIFY c VARCHAR(9) NOT NULL",),
            ERROR,
            1,
        ),
        (  # the table's collation instead
            [column("varchar(9) collate utf8mb4_bin", "varchar(20) collate utf8mb4_general_ci")],
            ("ALTER TABLE t MODIFY c VARCHAR(20)",),
            ERROR,
            1,
        ),
        (
            [("foreign key t.fk", "(a) references u (id)", "(a) references u_old (id)")],
            ("SELECT 1", "RENAME TABLE u TO u_old, u_new TO u"),
            ERROR,
            2,
        ),
        (
            [("foreign key t.fk", "(a) references u (id)", None)],
            ("CREATE TABLE t_new LIKE t", "DROP TABLE t", "RENAME TABLE t_new TO t"),
            ERROR,
            1,
        ),
        ([column("TEXT NOT NULL COLLATE NOCASE", "TEXT NOT NULL")], REBUILD, ERROR, 1),
        ([column("TEXT NOT NULL DEFAULT 'x'", "TEXT")], SELECTED, ERROR, 1),
        ([("index t.ix", "INDEX (a, b DESC)", "INDEX (a, b)")], REBUILD, WARNING, 1),
        ([("index t.ix", "UNIQUE INDEX ((lower(a)))", None)], REBUILD, ERROR, 1),
        ([("index t.ix", "INDEX (a)", None)], BY_HAND, WARNING, 1),
        ([("constraint t.unique(a)", "UNIQUE (a)", None)], BY_HAND, ERROR, 1),
        (
            [
                (
                    "constraint t.foreign key(a)",
                    "FOREIGN KEY (a) REFERENCES u(id) ON DELETE CASCADE",
                    "FOREIGN KEY (a) REFERENCES u(id)",
                )
            ],
            BY_HAND,
            ERROR,
            1,
        ),
        ([FOREIGN_KEY], ("SELECT 1", "ALTER TABLE countries DROP CONSTRAINT pk CASCADE"), ERROR, 2),
        (
            [("grant view report to PUBLIC", "SELECT", None)],
            ("DROP VIEW report", "CREATE VIEW report AS SELECT 1"),
            ERROR,
            1,
        ),
        (
            [("view report", "SELECT 1; with security_barrier=true", "SELECT 1")],
            ("DROP VIEW report", "CREATE VIEW report AS SELECT 1"),
            ERROR,
            2,
        ),
        (
            [("trigger t.audit", "CREATE TRIGGER audit ...", "CREATE TRIGGER audit ... DISABLED")],
            ("ALTER TABLE t DISABLE TRIGGER audit",),
            WARNING,
            1,
        ),
        (
            [("trigger t.audit", "CREATE TRIGGER audit ... DISABLED", "CREATE TRIGGER audit ...")],
            ("DROP TRIGGER audit ON t", "CREATE TRIGGER audit ..."),
            ERROR,
            2,
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
        (
            [("constraint t.unique(a)", "UNIQUE (a)", None)],
            REBUILD,
        ),  # batch.drop_constraint sends no statement
        ([("index t.ix", "INDEX (a)", None)], REBUILD),  # nor does batch.drop_index
        ([("index t.ix", "INDEX (a, b DESC)", "INDEX (a, b)")], ("DROP INDEX ix", *REBUILD)),
        (
            [("constraint t.unique(a)", "UNIQUE (a)", None), ("index t.ux", None, "UNIQUE INDEX (a)")],
            BY_HAND,
        ),
        ([column("TEXT NOT NULL DEFAULT 'x'", "TEXT")], BY_HAND),  # as CREATE TABLE says
        ([FOREIGN_KEY], ("ALTER TABLE trades DROP CONSTRAINT to_country CASCADE",)),
        ([FOREIGN_KEY], ("DROP TABLE countries CASCADE",)),
        (
            [
                ("foreign key t.fk", "(a) references u (id)", "(a) references v (id)"),
                ("table u", "table", None),
            ],
            ("RENAME TABLE u TO v",),
        ),
        (
            [column("varchar(9) collate utf8mb4_bin", "varchar(20) collate utf8mb4_general_ci")],
            ("ALTER TABLE t MODIFY c VARCHAR(20) COLLATE utf8mb4_general_ci",),
        ),
        (
            [column("varchar(9) collate utf8mb3_bin", "text collate utf8mb4_bin")],
            ("ALTER TABLE t MODIFY c TEXT", "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4"),
        ),
        ([column("enum('0') collate utf8mb4_bin", "int(11)")], ("ALTER TABLE t MODIFY c INTEGER",)),
        (
            [("grant view report to PUBLIC", "SELECT", None), ("view report", "SELECT 1", None)],
            ("DROP VIEW report",),
        ),
        ([("grant view report to PUBLIC", "SELECT", None)], ("REVOKE SELECT ON report FROM PUBLIC",)),
        (
            [column("varchar(9) not null default 'x'", "varchar(9)")],
            ("ALTER TABLE t MODIFY c VARCHAR(9)",),
        ),
        ([column("varchar(9) not null", "varchar(9)")], ("ALTER TABLE t MODIFY c VARCHAR(9) NULL",)),
        (
            [
                column("varchar(9) collate x not null", "varchar(9) collate x default NULL")
            ],  # as MariaDB has it
            ("ALTER TABLE t MODIFY c VARCHAR(9) NULL",),
        ),
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


QUOTED = (
    "CREATE /* as t */ TABLE `made anew` (id INTEGER)",
    "DROP TABLE /* the old */ t",
    "ALTER TABLE `made anew` RENAME TO t",
)


@pytest.mark.parametrize(
    ("changes", "sql", "line"),
    [
        # what only speaks of it, or of running anything
        ([TRIGGER], ("UPDATE t SET note = 'please call'", *REBUILD), 3),
        ([TRIGGER], ("/* EXECUTE, CALL */ INSERT INTO log VALUES ('audit')", *REBUILD), 3),
        ([TRIGGER], ("UPDATE t SET a = 1 -- audit\n", *REBUILD), 3),
        ([VIEW], ("CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()", "DROP TABLE people CASCADE"), 2),
        # names that need quotes, comments between the words
        ([("index t.ix", "UNIQUE INDEX (a)", None)], QUOTED, 1),
        ([("index t.ix", "UNIQUE INDEX (a)", None)], ("/* DROP INDEX ix */ SELECT 1", *QUOTED), 2),
        (
            [("constraint trades.c", 'FOREIGN KEY (country) REFERENCES "my countries"(id)', None)],
            ("ALTER TABLE `my countries` DROP CONSTRAINT pk CASCADE", "DROP VIEW `countries`"),
            1,
        ),
        (
            [("foreign key t.fk", '(a) references "my u" (id)', '(a) references "my u_old" (id)')],
            ("RENAME TABLE `my u` TO `my u_old`, u_new TO `my u`",),
            1,
        ),
        ([column("varchar(9) not null default 'x'", "text")], ("ALTER TABLE t ADD d int, /* x */ MODIFY /* y */ c TEXT NULL",), 1),
    ],
)  # fmt: skip
def test_F93_texts_comments_and_quotes_lead_nobody_astray(changes, sql, line) -> None:
    (finding,) = found(*changes, sql=sql)
    assert (finding.code, finding.line) == ("CM210", line)


@pytest.mark.parametrize(
    ("changes", "sql"),
    [
        # ON DELETE CASCADE takes no foreign key along
        ([FOREIGN_KEY], ("ALTER TABLE t DROP COLUMN a, ADD FOREIGN KEY (b) REFERENCES u (id) ON DELETE CASCADE",)),
        ([column("varchar(9) not null default 'x'", "text")], ("ALTER TABLE t ADD COLUMN `modify` int COMMENT 'c'",)),
        ([("constraint trades.c", 'FOREIGN KEY (a) REFERENCES "my u"(id)', None)], ("DROP TABLE `my u` CASCADE",)),
        ([("view report", "SELECT 1; with security_barrier=true", "SELECT 1")],
         ("ALTER VIEW report RESET /* it slows */ (security_barrier)",)),
    ],
)  # fmt: skip
def test_F93_texts_and_names_find_nothing_either(changes, sql) -> None:
    assert found(*changes, sql=sql) == []


def test_the_code_to_paste_is_code_where_a_name_needs_quotes() -> None:
    key = 'constraint "Odd ""one""".primary key'
    rebuild = tuple(sql.replace("t", '"Odd ""one"""') if sql == "DROP TABLE t" else sql.replace("TO t", 'TO "Odd ""one"""') for sql in REBUILD)  # fmt: skip
    (finding,) = found((key, "PRIMARY KEY (id) AUTOINCREMENT", "PRIMARY KEY (id)"), sql=rebuild)
    code = finding.fix.removeprefix("Write ").rstrip(".")
    assert ast.literal_eval(ast.parse(code, mode="eval").body.args[0]) == 'Odd "one"'  # type: ignore[attr-defined]


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


def test_F70_a_long_history_of_rebuilds_is_told_in_no_time() -> None:
    """500 statements and 400 changes took more than the minute that a check has."""
    sql = [text for n in range(170) for text in (f"CREATE TABLE _alembic_tmp_t{n} (id INTEGER, {'c TEXT, ' * 60})",
           f"DROP TABLE t{n}", f"ALTER TABLE _alembic_tmp_t{n} RENAME TO t{n}")]  # fmt: skip
    changes = [(f"column t{n % 170}.c{n}", "TEXT", "VARCHAR(9)") for n in range(400)]
    started = time.process_time()
    assert found(*changes, sql=tuple(sql)) == []
    assert time.process_time() - started < 5

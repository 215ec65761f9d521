"""CM206: values that changed although no statement sets them."""

import pytest

from ci_migrate.checks.base import Facts
from ci_migrate.checks.changed_on_the_side import CHECK
from ci_migrate.model import (
    Direction,
    Evidence,
    Fingerprint,
    Identity,
    Plan,
    SchemaChange,
    Severity,
    Statement,
    TableContent,
    TableEvidence,
    WayBack,
)
from ci_migrate.model.schema import ColumnContent

ERROR, WARNING = Severity.ERROR, Severity.WARNING


def content(digest: str, rows: int = 3) -> TableContent:
    columns = {"id": "same", "seen": digest, "stamp": digest}
    return TableContent(
        rows=rows, columns={c: ColumnContent(values=rows, digest=d) for c, d in columns.items()}
    )


def found(
    *sql: str, change: tuple[str, str, str] | None = None, rows_after: int = 3, direction=Direction.UPGRADE
):
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
            rows=3,
        )
        for n, text in enumerate(sql, 1)
    )
    empty = Fingerprint(objects={})
    evidence = Evidence(
        proven=True, before=empty, after=empty, statements=statements, way_back=WayBack(tried=False),
        changes=(SchemaChange(name=change[0], before=change[1], after=change[2]),) if change else (),
        tables={"notes": TableEvidence(before=content("a"), after=content("b", rows_after))},
    )  # fmt: skip
    return list(CHECK.find(CHECK, Facts(plan=plan, evidence=evidence)))


def test_F71_an_update_that_stamps_its_rows_is_found_with_their_number() -> None:
    (finding,) = found("UPDATE notes SET seen = 1")
    assert (finding.severity, finding.line) == (WARNING, 1)
    assert "notes.stamp got other values by an UPDATE of 3 rows" in finding.message


@pytest.mark.parametrize(
    ("before", "after", "sql", "severity"),
    [
        ("int(11) NOT NULL", "int(11) NOT NULL AUTO_INCREMENT", "ALTER TABLE notes MODIFY stamp integer AUTO_INCREMENT", ERROR),
        ("enum('0','1') NOT NULL", "smallint(6) NOT NULL", "ALTER TABLE notes MODIFY stamp SMALLINT NOT NULL", ERROR),
        ("timestamp without time zone", "timestamp with time zone", "ALTER TABLE notes ALTER stamp TYPE timestamptz", WARNING),
        ("datetime NOT NULL", "timestamp NOT NULL", "ALTER TABLE notes MODIFY stamp TIMESTAMP NOT NULL", WARNING),
    ],
)  # fmt: skip
def test_F71_another_definition_that_changes_values(before, after, sql, severity) -> None:
    (finding,) = found(sql, change=("column notes.stamp", before, after))
    assert (finding.severity, finding.line) == (severity, 1)


@pytest.mark.parametrize(
    "sql",
    [
        ("UPDATE notes SET seen = 1, stamp = stamp",),
        ("UPDATE others SET seen = 1",),
        ("INSERT INTO notes SELECT * FROM kept", "UPDATE notes SET seen = 1"),
        ("INSERT INTO notes VALUES (1) ON DUPLICATE KEY UPDATE seen = 1",),
    ],
)
def test_what_a_statement_sets_is_meant(sql) -> None:
    assert found(*sql) == []


def test_moments_with_their_zone_are_meant() -> None:
    sql = "ALTER TABLE notes ALTER stamp TYPE timestamptz USING stamp AT TIME ZONE 'UTC'"
    change = ("column notes.stamp", "timestamp without time zone", "timestamp with time zone")
    assert found(sql, change=change) == []


def test_a_downgrade_may_stamp() -> None:
    assert found("UPDATE notes SET seen = 1", direction=Direction.DOWNGRADE) == []

"""Columns that go away: lost, renamed, or moved to another table. Measured on a real database of each engine."""

import pytest
from sqlalchemy import URL, create_engine

from ci_migrate.checks.base import Facts
from ci_migrate.checks.dropped_with_rows import COLUMN_DROPPED
from ci_migrate.databases.mysql.database import MySQL
from ci_migrate.databases.postgresql.database import PostgreSQL
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import (
    Direction,
    Evidence,
    Fingerprint,
    Identity,
    Plan,
    Severity,
    Statement,
    TableEvidence,
    WayBack,
    schema_changes,
)

BEFORE = """
CREATE TABLE study (id INTEGER PRIMARY KEY, direction VARCHAR(20), note TEXT);
INSERT INTO study VALUES (1, 'up', 'a'), (2, 'down', 'b'), (3, 'up', NULL), (4, '', '{}'), (5, 'null', 'a');
CREATE TABLE other (id INTEGER PRIMARY KEY, word TEXT);
INSERT INTO other VALUES (7, 'x'), (8, 'y'), (9, 'z');
CREATE TABLE log (id INTEGER PRIMARY KEY, direction TEXT);
INSERT INTO log VALUES (1, 'up'), (2, 'down'), (3, 'up');
CREATE TABLE hollow (id INTEGER PRIMARY KEY, tag TEXT);
INSERT INTO hollow VALUES (1, ''), (2, '[]'), (3, NULL)
"""


@pytest.fixture(
    params=["sqlite", "postgresql_url", "mysql_url", pytest.param("mysql97_url", marks=pytest.mark.long)]
)
def findings(request, tmp_path):
    """What CM202 says of a migration, measured as the dry run measures it."""
    if request.param == "sqlite":
        database = SQLite(URL.create("sqlite", database=str(tmp_path / "app.db")))
    else:
        url = request.getfixturevalue(request.param)
        database = PostgreSQL(url) if url.get_backend_name() == "postgresql" else MySQL(url)

    def run(statements):
        engine = create_engine(database.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()
        return database.schema(), database.contents(database.counts())

    def found(migration):
        statements = [part.strip() for part in migration.split(";") if part.strip()]
        schema, contents = run(BEFORE.split(";"))
        schema_after, contents_after = run(statements)
        evidence = Evidence(
            proven=True,
            statements=tuple(
                Statement(
                    position=n,
                    context=0,
                    revision="r1",
                    file="r1.py",
                    line=n,
                    sql=sql,
                    digest="",
                    seconds=0,
                    rows=1,
                )
                for n, sql in enumerate(statements, 1)
            ),
            before=Fingerprint.of(schema),
            after=Fingerprint.of(schema_after),
            changes=schema_changes(schema, schema_after),
            tables={
                t: TableEvidence(before=contents.get(t), after=contents_after.get(t))
                for t in contents.keys() | contents_after.keys()
                if contents.get(t) != contents_after.get(t)
            },
            way_back=WayBack(tried=False),
        )
        plan = Plan(
            target="default",
            identity=Identity(dialect=database.url.get_backend_name(), place="here", facts={}),
            direction=Direction.UPGRADE,
            destination="head",
            contexts=(),
            revisions=(),
            env_sha256="",
            script_heads=(),
        )
        return list(COLUMN_DROPPED.find(COLUMN_DROPPED, Facts(plan=plan, evidence=evidence)))

    return found


DROP = "ALTER TABLE study DROP COLUMN direction"


def test_a_column_whose_values_are_nowhere_else_is_refused(findings):
    (found,) = findings(DROP)
    assert found.refuses
    assert "study.direction goes away with 3 values" in found.message
    assert (found.revision, found.file, found.line) == ("r1", "r1.py", 1)


def test_a_renamed_column_is_nothing_to_speak_of(findings):
    assert findings("ALTER TABLE study RENAME COLUMN direction TO way") == []


def test_F92_a_column_that_holds_nothing_is_nothing_to_speak_of(findings):
    assert findings("ALTER TABLE hollow DROP COLUMN tag") == []


MOVES = {
    "to a new table": f"""
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, direction FROM study;
        {DROP}""",
    "to a new table without the empty ones": f"""
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, direction FROM study WHERE direction NOT IN ('', 'null');
        {DROP}""",
    "to a table that had other values there": f"""
        DELETE FROM other;
        INSERT INTO other SELECT id, direction FROM study;
        {DROP}""",
    "to a table that keeps its rows": f"""
        INSERT INTO other SELECT id, direction FROM study WHERE direction <> 'null';
        {DROP}""",
    "to a table that has such values": f"""
        INSERT INTO log SELECT id + 10, direction FROM study WHERE direction <> '';
        {DROP}""",
    "by way of Python": f"""
        SELECT study.id, study.direction FROM study;
        INSERT INTO log VALUES (11, 'up'); INSERT INTO log VALUES (12, 'down'); INSERT INTO log VALUES (13, 'up');
        {DROP}""",
}


@pytest.mark.parametrize("migration", MOVES.values(), ids=MOVES.keys())
def test_a_column_that_moved_to_another_table_is_a_warning(findings, migration):
    (found,) = findings(migration)
    assert found.severity is Severity.WARNING
    assert "its 3 values now stand in" in found.message


LOSSES = {
    "one value is missing": f"""
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, direction FROM study WHERE id < 3;
        {DROP}""",
    "one value is another": f"""
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, 'up' FROM study WHERE id < 4;
        {DROP}""",
    "the same values stood there before": f"ALTER TABLE log ADD COLUMN x INTEGER; {DROP}",
    "one value is missing where others stood": f"""
        INSERT INTO other SELECT id, direction FROM study WHERE id < 3;
        {DROP}""",
    "one value is another where others stood": f"""
        INSERT INTO other SELECT id, CASE id WHEN 3 THEN 'down' ELSE direction END FROM study;
        {DROP}""",
    "one value is there twice, another not": f"""
        INSERT INTO other SELECT id, 'up' FROM study WHERE direction <> '' AND id < 4;
        {DROP}""",
    "a value that stood there had to go": f"""
        INSERT INTO other SELECT id, direction FROM study WHERE id < 4;
        DELETE FROM other WHERE word = 'x';
        {DROP}""",
    "each once": f"""
        INSERT INTO other SELECT min(id), direction FROM study WHERE id < 4 GROUP BY direction;
        {DROP}""",
    "nobody read the column": f"""
        INSERT INTO log VALUES (11, 'up'), (12, 'down'), (13, 'up');
        {DROP}""",
}


@pytest.mark.parametrize("migration", LOSSES.values(), ids=LOSSES.keys())
def test_a_column_that_moved_only_partly_is_refused(findings, migration):
    (found,) = findings(migration)
    assert found.refuses
    assert "study.direction goes away with 3 values" in found.message

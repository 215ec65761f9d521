"""Columns that go away: lost, renamed, or moved to another table. Measured on a real file."""

import sqlite3

import pytest
from sqlalchemy import URL

from ci_migrate.checks.base import Facts
from ci_migrate.checks.dropped_with_rows import COLUMN_DROPPED
from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.model import (
    Direction,
    Evidence,
    Fingerprint,
    Identity,
    Plan,
    Severity,
    TableEvidence,
    WayBack,
    schema_changes,
)

BEFORE = """
CREATE TABLE study (id INTEGER PRIMARY KEY, direction TEXT, note TEXT);
INSERT INTO study VALUES (1, 'up', 'a'), (2, 'down', 'b'), (3, 'up', NULL);
CREATE TABLE other (id INTEGER PRIMARY KEY, word TEXT);
INSERT INTO other VALUES (7, 'x'), (8, 'y'), (9, 'z');
CREATE TABLE log (id INTEGER PRIMARY KEY, direction TEXT);
INSERT INTO log (direction) VALUES ('up'), ('down'), ('up');
"""


def findings(tmp_path, migration):
    """What CM202 says of a migration, measured as the dry run measures it."""
    file = tmp_path / "app.db"
    database = SQLite(URL.create("sqlite", database=str(file)))

    def run(script):
        connection = sqlite3.connect(file)
        connection.executescript(script)
        connection.close()
        return database.schema(), database.contents(database.counts())

    schema, contents = run(BEFORE)
    schema_after, contents_after = run(migration)
    evidence = Evidence(
        proven=True,
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
        identity=Identity(dialect="sqlite", place=str(file), facts={}),
        direction=Direction.UPGRADE,
        destination="head",
        contexts=(),
        revisions=(),
        env_sha256="",
        script_heads=(),
    )
    return list(COLUMN_DROPPED.find(COLUMN_DROPPED, Facts(plan=plan, evidence=evidence)))


def test_a_column_whose_values_are_nowhere_else_is_refused(tmp_path):
    (found,) = findings(tmp_path, "ALTER TABLE study DROP COLUMN direction;")
    assert found.refuses
    assert "study.direction goes away with 3 values" in found.message


def test_a_renamed_column_is_nothing_to_speak_of(tmp_path):
    assert findings(tmp_path, "ALTER TABLE study RENAME COLUMN direction TO way;") == []


MOVES = {
    "to a new table": """
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, direction FROM study;
        ALTER TABLE study DROP COLUMN direction;""",
    "to a table that had other values there": """
        DELETE FROM other;
        INSERT INTO other SELECT id, direction FROM study;
        ALTER TABLE study DROP COLUMN direction;""",
}


@pytest.mark.parametrize("migration", MOVES.values(), ids=MOVES.keys())
def test_a_column_that_moved_to_another_table_is_a_warning(tmp_path, migration):
    (found,) = findings(tmp_path, migration)
    assert found.severity is Severity.WARNING
    assert "its 3 values now stand in" in found.message


LOSSES = {
    "one value is missing": """
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, direction FROM study WHERE id < 3;
        ALTER TABLE study DROP COLUMN direction;""",
    "one value is another": """
        CREATE TABLE directions (study INTEGER, direction TEXT);
        INSERT INTO directions SELECT id, 'up' FROM study;
        ALTER TABLE study DROP COLUMN direction;""",
    "the same values stood there before": "ALTER TABLE log ADD COLUMN x; ALTER TABLE study DROP COLUMN direction;",
}


@pytest.mark.parametrize("migration", LOSSES.values(), ids=LOSSES.keys())
def test_a_column_that_moved_only_partly_is_refused(tmp_path, migration):
    (found,) = findings(tmp_path, migration)
    assert found.refuses

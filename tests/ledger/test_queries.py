"""Each question has an index on each engine: a ledger with 100,000 runs answers as an empty one does."""

from datetime import UTC, datetime

import pytest
from ledger_support import a_plan, a_run
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import mysql, postgresql, sqlite

from ci_migrate.ledger import queries
from ci_migrate.ledger.ledger import open_ledger

DATABASE = "0b9ffcd8-6b9c-4a0e-a9a5-5f1f8a8f5b4e"
QUESTIONS = {
    "newest": queries.newest(DATABASE, 20),
    "unfinished": queries.unfinished(DATABASE),
    "changes": queries.changes(DATABASE, None, 50),
    "changes before": queries.changes(DATABASE, 77, 50),
    "later change": queries.later_change(DATABASE, 77),
    "plans": queries.plans(DATABASE),
    "applied files": queries.applied_files(DATABASE),
    "applying": queries.applying(DATABASE, "3f2a"),
    "proven": queries.proven(DATABASE, ["backup_1", "backup_2"]),
    "rehearsed": queries.rehearsed(
        DATABASE, "0" * 64, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    ),
}
DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect(), "mysql": mysql.dialect()}


@pytest.fixture
def explain(url):
    """What the engine would do for a question."""
    with open_ledger(url, create=True) as ledger:
        for number in range(30):
            ledger.begin_run(a_run(f"run-{number}", plan=a_plan()))
    engine = create_engine(url)

    def look(name: str) -> list[str]:
        dialect = DIALECTS[engine.dialect.name]
        sql = str(QUESTIONS[name].compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":  # with so few rows it would rightly read them all
                connection.execute(text("SET enable_seqscan = off"))
            how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
            rows = connection.exec_driver_sql(f"{how} {sql}".replace("%", "%%")).mappings().all()
        return [" ".join(f"{key}={value}" for key, value in row.items()) for row in rows]

    yield look
    engine.dispose()


@pytest.mark.parametrize("name", QUESTIONS)
def test_F4_no_question_reads_all_runs(explain, name):
    steps = explain(name)
    tables = ("ci_migrate_runs", "ci_migrate_applied", "ci_migrate_rehearsals")
    about = [step for step in steps if any(f"{table}" in step for table in tables)]
    assert about, steps
    for step in about:
        assert "SCAN ci_migrate" not in step, "SQLite reads the table"
        assert "Seq Scan" not in step, "PostgreSQL reads the table"
        assert "type=ALL" not in step, "MariaDB reads the table"

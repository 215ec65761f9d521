"""TRUNCATE of an empty table that nothing points to."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE sources (id integer PRIMARY KEY, name text);",
    upgrade="""
        op.execute("TRUNCATE sources")
        op.execute("INSERT INTO sources VALUES (1, 'one')")
    """,
)

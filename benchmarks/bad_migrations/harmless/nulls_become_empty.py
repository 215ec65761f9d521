"""NULLs become empty texts, and nothing else does."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE blocks (id integer NOT NULL PRIMARY KEY, heading text);",
    rows="INSERT INTO blocks VALUES (1, 'Absence by region'), (2, NULL), (3, 'Exclusions'), (4, NULL);",
    upgrade="""
        op.execute("UPDATE blocks SET heading = '' WHERE heading IS NULL")
    """,
)

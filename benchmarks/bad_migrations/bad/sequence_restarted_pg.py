"""TRUNCATE ... RESTART IDENTITY, and the rows put back with their ids: the next insert takes one of them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/tektoncd/hub/pull/304",
    schema="CREATE TABLE resources (id serial PRIMARY KEY, name text);",
    rows="INSERT INTO resources (name) SELECT 'r' || i FROM generate_series(1, 10) i;",
    upgrade="""
        op.execute("CREATE TABLE kept AS SELECT * FROM resources")
        op.execute("TRUNCATE resources RESTART IDENTITY")
        op.execute("INSERT INTO resources SELECT * FROM kept")
        op.drop_table("kept")
    """,
    expected="CM205",
)

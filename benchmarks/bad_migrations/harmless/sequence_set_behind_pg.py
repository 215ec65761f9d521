"""Rows put back with their ids, and the sequence set behind the last one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE resources (id serial PRIMARY KEY, name text);",
    rows="INSERT INTO resources (name) SELECT 'r' || i FROM generate_series(1, 10) i;",
    upgrade="""
        op.execute("CREATE TABLE kept AS SELECT * FROM resources")
        op.execute("TRUNCATE resources RESTART IDENTITY")
        op.execute("INSERT INTO resources SELECT * FROM kept")
        op.execute("SELECT setval('resources_id_seq', (SELECT max(id) FROM resources))")
        op.drop_table("kept")
    """,
)

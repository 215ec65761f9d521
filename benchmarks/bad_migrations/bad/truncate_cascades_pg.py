"""TRUNCATE ... CASCADE of an empty table empties all that point to it."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Limetric/pgferry/pull/233",
    schema="""
        CREATE TABLE sources (id integer PRIMARY KEY, name text);
        CREATE TABLE readings (id integer PRIMARY KEY, source_id integer REFERENCES sources (id));
    """,
    rows="INSERT INTO readings SELECT i, NULL FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("TRUNCATE sources CASCADE")
        op.execute("INSERT INTO sources VALUES (1, 'one')")
    """,
    expected="CM601",
)

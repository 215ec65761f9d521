"""A materialized view is refreshed CONCURRENTLY, and is read meanwhile."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "20ms"',
    schema="""
        CREATE TABLE transactions (id integer PRIMARY KEY, at date NOT NULL);
        CREATE MATERIALIZED VIEW daily AS SELECT at, count(DISTINCT md5(id::text)) FROM transactions GROUP BY at;
        CREATE UNIQUE INDEX ON daily (at);
    """,
    rows="""
        INSERT INTO transactions SELECT i, date '2024-01-01' + i % 700 FROM generate_series(1, 60000) i;
        REFRESH MATERIALIZED VIEW daily;
    """,
    upgrade='op.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY daily")',
)

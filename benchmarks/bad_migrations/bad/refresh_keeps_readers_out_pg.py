"""A materialized view is refreshed, and nobody reads it as long as its query takes."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/oasisprotocol/nexus/pull/426",
    settings='lock-budget = "20ms"',
    schema="""
        CREATE TABLE transactions (id integer PRIMARY KEY, at date NOT NULL);
        CREATE MATERIALIZED VIEW daily AS SELECT at, count(DISTINCT md5(id::text)) FROM transactions GROUP BY at;
    """,
    rows="""
        INSERT INTO transactions SELECT i, date '2024-01-01' + i % 700 FROM generate_series(1, 60000) i;
        REFRESH MATERIALIZED VIEW daily;
    """,
    upgrade='op.execute("REFRESH MATERIALIZED VIEW daily")',
    expected="CM301",
)

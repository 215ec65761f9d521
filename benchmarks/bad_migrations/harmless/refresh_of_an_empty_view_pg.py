"""A materialized view is filled for the first time: nobody could read it before."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "20ms"',
    schema="""
        CREATE TABLE prices (id integer PRIMARY KEY, product text NOT NULL);
        CREATE MATERIALIZED VIEW medians AS SELECT product, max(md5(id::text)) FROM prices GROUP BY product
            WITH NO DATA;
    """,
    rows="INSERT INTO prices SELECT i, md5((i % 900)::text) FROM generate_series(1, 60000) i;",
    upgrade='op.execute("REFRESH MATERIALIZED VIEW medians")',
)

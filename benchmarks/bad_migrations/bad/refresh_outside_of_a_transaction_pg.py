"""A refresh outside of a transaction keeps readers out just as long."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/bennettoxford/openprescribing/issues/2025",
    settings='lock-budget = "20ms"',
    schema="""
        CREATE TABLE prices (id integer PRIMARY KEY, product text NOT NULL);
        CREATE MATERIALIZED VIEW medians AS SELECT product, max(md5(id::text)) FROM prices GROUP BY product;
    """,
    rows="""
        INSERT INTO prices SELECT i, md5((i % 900)::text) FROM generate_series(1, 60000) i;
        REFRESH MATERIALIZED VIEW medians;
    """,
    upgrade="""
        with op.get_context().autocommit_block():
            op.execute("REFRESH MATERIALIZED VIEW medians")
    """,
    expected="CM301",
)

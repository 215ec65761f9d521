"""A stored generated column rewrites the table under the strongest lock."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/sbomify/sbomify/pull/1127",
    settings='lock-budget = "20ms"',
    schema="CREATE TABLE assessment_run (id integer PRIMARY KEY, result jsonb NOT NULL);",
    rows="""
        INSERT INTO assessment_run SELECT i, jsonb_build_object('summary', jsonb_build_object('n', i),
            'text', repeat('x', 200)) FROM generate_series(1, 40000) i;
    """,
    upgrade="""
        summary = sa.Computed("result -> 'summary'", persisted=True)
        op.add_column("assessment_run", sa.Column("result_summary", sa.JSON().with_variant(
            __import__("sqlalchemy.dialects.postgresql", fromlist=["JSONB"]).JSONB(), "postgresql"), summary))
    """,
    downgrade='op.drop_column("assessment_run", "result_summary")',
    expected="CM30",
)

"""integer to bigint rewrites the table and its indexes."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/theopenco/llmgateway/pull/2732",
    settings='lock-budget = "20ms"',
    schema="CREATE TABLE model_history_hourly (id integer PRIMARY KEY, tokens integer NOT NULL, note text);",
    rows="INSERT INTO model_history_hourly SELECT i, i, repeat('x', 100) FROM generate_series(1, 60000) i;",
    upgrade='op.alter_column("model_history_hourly", "tokens", type_=sa.BigInteger())',
    downgrade='op.alter_column("model_history_hourly", "tokens", type_=sa.Integer())',
    expected="CM30",
)

"""An index over three columns goes with one of them, and queries of the others are slow."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/doctolib/safe-pg-migrations/pull/141",
    settings="checks = { CM210 = 'error' }",
    schema="""
        CREATE TABLE logs (id integer PRIMARY KEY, at timestamp, host text, shard integer);
        CREATE INDEX logs_host_at ON logs (host, at, shard);
    """,
    rows="INSERT INTO logs SELECT i, now(), 'h' || i, NULL FROM generate_series(1, 12) i;",
    upgrade='op.drop_column("logs", "shard")',
    downgrade="""
        op.add_column("logs", sa.Column("shard", sa.Integer()))
        op.create_index("logs_host_at", "logs", ["host", "at", "shard"])
    """,
    expected="CM210",
)

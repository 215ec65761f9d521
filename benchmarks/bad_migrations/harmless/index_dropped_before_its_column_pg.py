"""An index is dropped by name, then one of its columns."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE logs (id integer PRIMARY KEY, at timestamp, host text, shard integer);
        CREATE INDEX logs_host_at ON logs (host, at, shard);
    """,
    rows="INSERT INTO logs SELECT i, now(), 'h' || i, NULL FROM generate_series(1, 12) i;",
    upgrade="""
        op.drop_index("logs_host_at", "logs")
        op.drop_column("logs", "shard")
        op.create_index("logs_by_host", "logs", ["host", "at"])
    """,
    downgrade="""
        op.drop_index("logs_by_host", "logs")
        op.add_column("logs", sa.Column("shard", sa.Integer()))
        op.create_index("logs_host_at", "logs", ["host", "at", "shard"])
    """,
)

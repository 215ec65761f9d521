"""A UNIQUE of a partitioned table leaves out its partition key."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/edictum-ai/edictum-console/pull/86",
    schema="""
        CREATE TABLE calls (tenant integer NOT NULL, call_id integer NOT NULL,
            created_at date NOT NULL) PARTITION BY RANGE (created_at);
        CREATE TABLE calls_2026 PARTITION OF calls FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    """,
    rows="INSERT INTO calls SELECT 1, i, '2026-05-05' FROM generate_series(1, 9) i;",
    upgrade='op.create_unique_constraint("one_call", "calls", ["tenant", "call_id"])',
    downgrade='op.drop_constraint("one_call", "calls")',
    expected="must include all partitioning columns",
)

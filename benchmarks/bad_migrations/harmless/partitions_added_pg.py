"""A partition is added to a partitioned table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE events (id integer NOT NULL, day date NOT NULL) PARTITION BY RANGE (day);
        CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    """,
    rows="INSERT INTO events VALUES (1, '2025-05-05');",
    upgrade="""
        op.execute("CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
    """,
    downgrade='op.drop_table("events_2026")',
)

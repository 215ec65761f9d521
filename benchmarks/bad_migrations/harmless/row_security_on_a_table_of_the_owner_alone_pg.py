"""Row level security without a policy, on a table that its owner alone may read."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='checks = { CM208 = "error" }',
    schema="""
        CREATE TABLE tickets (id integer PRIMARY KEY, tenant integer NOT NULL);
    """,
    rows="INSERT INTO tickets SELECT i, i % 3 FROM generate_series(1, 50) i;",
    upgrade='op.execute("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")',
    downgrade='op.execute("ALTER TABLE tickets DISABLE ROW LEVEL SECURITY")',
)

"""Row level security is switched on without a policy, and the application reads no row."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/riteshbonthalakoti/HELPDESK.AI/pull/2724",
    settings='checks = { CM208 = "error" }',
    schema="""
        CREATE TABLE tickets (id integer PRIMARY KEY, tenant integer NOT NULL);
        GRANT SELECT ON tickets TO PUBLIC;
    """,
    rows="INSERT INTO tickets SELECT i, i % 3 FROM generate_series(1, 50) i;",
    upgrade='op.execute("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")',
    downgrade='op.execute("ALTER TABLE tickets DISABLE ROW LEVEL SECURITY")',
    expected="CM208",
)

"""Row level security is switched on together with a policy."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='checks = { CM208 = "error" }',
    schema="""
        CREATE TABLE tickets (id integer PRIMARY KEY, tenant integer NOT NULL);
        GRANT SELECT ON tickets TO PUBLIC;
    """,
    rows="INSERT INTO tickets SELECT i, i % 3 FROM generate_series(1, 50) i;",
    upgrade="""
        op.execute("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")
        op.execute("CREATE POLICY own ON tickets USING (tenant = current_setting('app.tenant')::integer)")
    """,
    downgrade="""
        op.execute("DROP POLICY own ON tickets")
        op.execute("ALTER TABLE tickets DISABLE ROW LEVEL SECURITY")
    """,
)

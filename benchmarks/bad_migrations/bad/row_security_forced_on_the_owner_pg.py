"""Row level security is forced on the owner of a table too, and there is no policy."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/LanternOps/breeze/pull/4926",
    schema="""
        CREATE TABLE tickets (id integer PRIMARY KEY, tenant integer NOT NULL);
        ALTER TABLE tickets OWNER TO pg_monitor;
    """,
    rows="INSERT INTO tickets SELECT i, i % 3 FROM generate_series(1, 50) i;",
    upgrade="""
        op.execute("ALTER TABLE tickets ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE tickets FORCE ROW LEVEL SECURITY")
    """,
    downgrade="""
        op.execute("ALTER TABLE tickets NO FORCE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE tickets DISABLE ROW LEVEL SECURITY")
    """,
    expected="CM208",
)

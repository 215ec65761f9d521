"""An index is built anew, and made the replica identity again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE snapshots (workflow text NOT NULL, run text NOT NULL, state text);
        CREATE UNIQUE INDEX snapshots_key ON snapshots (workflow, run);
        ALTER TABLE snapshots REPLICA IDENTITY USING INDEX snapshots_key;
        CREATE PUBLICATION everything FOR ALL TABLES;
    """,
    rows="INSERT INTO snapshots SELECT 'w', i::text, 'new' FROM generate_series(1, 50) i;",
    upgrade="""
        op.drop_index("snapshots_key", "snapshots")
        op.create_index("snapshots_key", "snapshots", ["workflow", "run"], unique=True)
        op.execute("ALTER TABLE snapshots REPLICA IDENTITY USING INDEX snapshots_key")
    """,
)

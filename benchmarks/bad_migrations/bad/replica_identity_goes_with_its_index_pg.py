"""An index is built anew, and was the replica identity of its table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/mastra-ai/mastra/issues/13097",
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
    """,
    downgrade='op.execute("ALTER TABLE snapshots REPLICA IDENTITY USING INDEX snapshots_key")',
    expected="CM207",
)

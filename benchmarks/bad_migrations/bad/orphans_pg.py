"""Foreign key on rows whose parent is gone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/mergestat/mergestat/issues/628",
    schema="""
        CREATE TABLE repo_sync_queue (id integer PRIMARY KEY);
        CREATE TABLE repo_syncs (id integer PRIMARY KEY, queue_id integer);
    """,
    rows="""
        INSERT INTO repo_sync_queue SELECT i FROM generate_series(1, 20) i;
        INSERT INTO repo_syncs SELECT i, i + 5 FROM generate_series(1, 20) i;
    """,
    upgrade='op.create_foreign_key("last_queue_fk", "repo_syncs", "repo_sync_queue", ["queue_id"], ["id"])',
    downgrade='op.drop_constraint("last_queue_fk", "repo_syncs")',
    expected="violates foreign key constraint",
)

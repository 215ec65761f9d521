"""Index without CONCURRENTLY on a table that is written all the time."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/aegra/aegra/issues/362",
    settings='lock-budget = "20ms"',
    schema="CREATE TABLE thread (id integer PRIMARY KEY, metadata_json jsonb NOT NULL);",
    rows="""
        INSERT INTO thread
            SELECT i, jsonb_build_object('owner', md5(i::text), 'tag', i % 97) FROM generate_series(1, 60000) i;
    """,
    upgrade="""
        op.create_index("idx_thread_metadata_gin", "thread", ["metadata_json"], postgresql_using="gin")
    """,
    downgrade='op.drop_index("idx_thread_metadata_gin", "thread")',
    expected="CM301",
)

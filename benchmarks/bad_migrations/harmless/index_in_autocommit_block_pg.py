"""CREATE INDEX CONCURRENTLY in an autocommit block."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "1s"',
    schema="CREATE TABLE sample (pk integer PRIMARY KEY, id text);",
    rows="INSERT INTO sample SELECT i, 's' || i FROM generate_series(1, 1000) i;",
    upgrade="""
        with op.get_context().autocommit_block():
            op.create_index("sample_id_idx", "sample", ["id"], postgresql_concurrently=True)
    """,
    downgrade="""
        with op.get_context().autocommit_block():
            op.drop_index("sample_id_idx", "sample", postgresql_concurrently=True)
    """,
)

"""CREATE INDEX CONCURRENTLY in Alembic's transaction."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/METR/hawk/pull/286",
    schema="CREATE TABLE sample (pk integer PRIMARY KEY, id text);",
    rows="INSERT INTO sample SELECT i, 's' || i FROM generate_series(1, 100) i;",
    upgrade='op.create_index("sample__id_idx", "sample", ["id"], postgresql_concurrently=True)',
    downgrade='op.drop_index("sample__id_idx", "sample", postgresql_concurrently=True)',
    expected="cannot run inside a transaction block",
)

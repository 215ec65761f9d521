"""An index on a table without rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE sample (pk integer PRIMARY KEY, id text);",
    upgrade='op.create_index("sample_id_idx", "sample", ["id"])',
    downgrade='op.drop_index("sample_id_idx", "sample")',
)

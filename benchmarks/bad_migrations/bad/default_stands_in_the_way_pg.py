"""integer to boolean with USING, and the default cannot be cast."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Yeraze/meshmonitor/pull/1485",
    schema="CREATE TABLE nodes (id integer PRIMARY KEY, favorite integer NOT NULL DEFAULT 0);",
    rows="INSERT INTO nodes SELECT i, i % 2 FROM generate_series(1, 9) i;",
    upgrade='op.alter_column("nodes", "favorite", type_=sa.Boolean(), postgresql_using="favorite <> 0")',
    expected="cannot be cast automatically",
)

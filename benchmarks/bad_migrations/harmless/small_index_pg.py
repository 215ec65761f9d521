"""An index on a table of fifty rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE countries (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO countries SELECT i, 'c' || i FROM generate_series(1, 50) i;",
    upgrade='op.create_index("ix_name", "countries", ["name"])',
    downgrade='op.drop_index("ix_name", "countries")',
)

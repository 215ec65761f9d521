"""ALTER COLUMN on SQLite, which has none."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/AgnostiqHQ/covalent/issues/1094",
    schema="CREATE TABLE lattices (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO lattices VALUES (1, 'a');",
    upgrade='op.alter_column("lattices", "name", nullable=False)',
    downgrade='op.alter_column("lattices", "name", nullable=True)',
    expected='near "ALTER"',
)

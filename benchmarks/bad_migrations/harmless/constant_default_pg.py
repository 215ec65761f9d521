"""A new column with a constant default, on many rows: no rewrite."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "1s"',
    schema="CREATE TABLE items (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO items SELECT i, repeat('x', 100) FROM generate_series(1, 50000) i;",
    upgrade='op.add_column("items", sa.Column("state", sa.Text, nullable=False, server_default="new"))',
    downgrade='op.drop_column("items", "state")',
)

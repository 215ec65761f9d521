"""Unique constraint on unique values."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE emails (id integer PRIMARY KEY, address text NOT NULL);",
    rows="INSERT INTO emails SELECT i, 'a' || i FROM generate_series(1, 100) i;",
    upgrade='op.create_unique_constraint("uq_address", "emails", ["address"])',
    downgrade='op.drop_constraint("uq_address", "emails")',
)

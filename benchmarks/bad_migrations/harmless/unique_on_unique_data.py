"""Unique index on a column without duplicates."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE memes (id integer PRIMARY KEY, key text NOT NULL);",
    rows="INSERT INTO memes VALUES (1, 'captain'), (2, 'doge');",
    upgrade='op.create_index("memes_key", "memes", ["key"], unique=True)',
    downgrade='op.drop_index("memes_key", "memes")',
)

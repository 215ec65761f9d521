"""Unique index on a column with duplicates."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/jacebrowning/memegen/pull/180",
    schema="CREATE TABLE memes (id integer PRIMARY KEY, key text NOT NULL);",
    rows="INSERT INTO memes VALUES (1, 'captain'), (2, 'captain'), (3, 'doge');",
    upgrade='op.create_index("memes_key_key", "memes", ["key"], unique=True)',
    downgrade='op.drop_index("memes_key_key", "memes")',
    expected="UNIQUE constraint failed",
)

"""A column is dropped and added again to make it required: all its values become the default."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/prisma/orm/issues/864",
    schema="CREATE TABLE articles (id integer PRIMARY KEY, title text);",
    rows="INSERT INTO articles VALUES (1, 'one'), (2, NULL), (3, 'three');",
    upgrade="""
        op.execute("ALTER TABLE articles DROP COLUMN title, ADD COLUMN title text NOT NULL DEFAULT ''")
    """,
    downgrade="""
        op.execute("ALTER TABLE articles ALTER COLUMN title DROP NOT NULL, ALTER COLUMN title DROP DEFAULT")
    """,
    expected="CM602",
)

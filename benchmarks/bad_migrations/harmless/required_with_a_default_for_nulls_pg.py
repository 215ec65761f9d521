"""A column becomes required, and its NULLs become the default."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE articles (id integer PRIMARY KEY, title text);",
    rows="INSERT INTO articles VALUES (1, 'one'), (2, NULL), (3, 'three');",
    upgrade="""
        op.execute("UPDATE articles SET title = '' WHERE title IS NULL")
        op.execute("ALTER TABLE articles ALTER COLUMN title SET DEFAULT '', ALTER COLUMN title SET NOT NULL")
    """,
    downgrade="""
        op.execute("ALTER TABLE articles ALTER COLUMN title DROP NOT NULL, ALTER COLUMN title DROP DEFAULT")
    """,
)

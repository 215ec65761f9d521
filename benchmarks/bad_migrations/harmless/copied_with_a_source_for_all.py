"""Rows without a source get one when the table is copied."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE skills (id integer NOT NULL PRIMARY KEY, source_id integer, code text);",
    rows="INSERT INTO skills VALUES (1, 7, 'a'), (2, NULL, 'b'), (3, 8, 'c');",
    upgrade="""
        op.execute(
            "CREATE TABLE skills_new (id integer NOT NULL PRIMARY KEY, source_id integer NOT NULL, code "
            "text)"
        )
        op.execute("INSERT INTO skills_new SELECT id, coalesce(source_id, 0), code FROM skills")
        op.execute("DROP TABLE skills")
        op.execute("ALTER TABLE skills_new RENAME TO skills")
    """,
)

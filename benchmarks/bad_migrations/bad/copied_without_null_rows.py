"""Rows without a source are left out when the table is copied."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/kentcdodds/kody/pull/190",
    schema="CREATE TABLE skills (id integer NOT NULL PRIMARY KEY, source_id integer, code text);",
    rows="INSERT INTO skills VALUES (1, 7, 'a'), (2, NULL, 'b'), (3, 8, 'c');",
    upgrade="""
        op.execute(
            "CREATE TABLE skills_new (id integer NOT NULL PRIMARY KEY, source_id integer NOT NULL, code "
            "text)"
        )
        op.execute("INSERT INTO skills_new SELECT id, source_id, code FROM skills WHERE source_id IS NOT NULL")
        op.execute("DROP TABLE skills")
        op.execute("ALTER TABLE skills_new RENAME TO skills")
    """,
    expected="CM601",
)

"""A table is copied into a new one, and its privileges are given again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE facts (id integer PRIMARY KEY, name text);
        GRANT SELECT ON facts TO PUBLIC;
    """,
    rows="INSERT INTO facts SELECT i, 'f' || i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("CREATE TABLE facts_new (LIKE facts INCLUDING ALL)")
        op.execute("INSERT INTO facts_new SELECT * FROM facts")
        op.execute("DROP TABLE facts")
        op.execute("ALTER TABLE facts_new RENAME TO facts")
        op.execute("GRANT SELECT ON facts TO PUBLIC")
    """,
)

"""A table is made, filled from the old one, and takes its name."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE episodes (id integer NOT NULL PRIMARY KEY, title text NOT NULL, seen integer DEFAULT 0);
        CREATE INDEX ix_title ON episodes (title);
    """,
    rows="INSERT INTO episodes VALUES (1, 'one', 5), (2, 'two', 0);",
    upgrade="""
        op.execute(
            "CREATE TABLE made_anew (id integer NOT NULL PRIMARY KEY, title text NOT NULL, seen integer "
            "DEFAULT 0)"
        )
        op.execute("INSERT INTO made_anew SELECT id, title, seen FROM episodes")
        op.execute("DROP TABLE episodes")
        op.execute("ALTER TABLE made_anew RENAME TO episodes")
        op.execute("CREATE INDEX ix_title ON episodes (title)")
    """,
)

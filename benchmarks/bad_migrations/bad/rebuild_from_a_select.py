"""CREATE TABLE AS SELECT makes the table again without keys, indexes and NOT NULL."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/podverse/podverse-api/pull/350",
    schema="""
        CREATE TABLE episodes (id integer NOT NULL PRIMARY KEY, title text NOT NULL, seen integer DEFAULT 0);
        CREATE INDEX ix_title ON episodes (title);
    """,
    rows="INSERT INTO episodes VALUES (1, 'one', 5), (2, 'two', 0);",
    upgrade="""
        op.execute("CREATE TABLE made_anew AS SELECT id, title, seen FROM episodes")
        op.execute("DROP TABLE episodes")
        op.execute("ALTER TABLE made_anew RENAME TO episodes")
    """,
    expected="CM210",
)

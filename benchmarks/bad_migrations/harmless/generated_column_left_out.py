"""A rebuild copies the columns that are not generated."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE votes (id integer NOT NULL PRIMARY KEY, likes integer NOT NULL, total integer GENERATED
            ALWAYS AS (likes * 2), note text);
    """,
    rows="INSERT INTO votes (id, likes, note) VALUES (1, 3, 'x'), (2, 4, NULL);",
    upgrade="""
        op.execute(
            "CREATE TABLE votes_new (id integer NOT NULL PRIMARY KEY, likes integer NOT NULL, total "
            "integer GENERATED ALWAYS AS (likes * 2), note varchar(50))"
        )
        op.execute("INSERT INTO votes_new (id, likes, note) SELECT id, likes, note FROM votes")
        op.execute("DROP TABLE votes")
        op.execute("ALTER TABLE votes_new RENAME TO votes")
    """,
)

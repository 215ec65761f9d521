"""A table is rebuilt by hand with all that it had."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE terms (id integer NOT NULL PRIMARY KEY);
        CREATE TABLE translations (id integer NOT NULL PRIMARY KEY,
            term_id integer NOT NULL REFERENCES terms (id) ON DELETE CASCADE, value text);
    """,
    rows="""
        INSERT INTO terms VALUES (1), (2);
        INSERT INTO translations VALUES (1, 1, 'eins'), (2, 2, 'zwei');
    """,
    upgrade="""
        op.execute(
            "CREATE TABLE made_anew (id integer NOT NULL PRIMARY KEY, term_id integer NOT NULL "
            "REFERENCES terms (id) ON DELETE CASCADE, value varchar(500))"
        )
        op.execute("INSERT INTO made_anew SELECT id, term_id, value FROM translations")
        op.execute("DROP TABLE translations")
        op.execute("ALTER TABLE made_anew RENAME TO translations")
    """,
    downgrade="""
        op.execute(
            "CREATE TABLE made_anew (id integer NOT NULL PRIMARY KEY, term_id integer NOT NULL "
            "REFERENCES terms (id) ON DELETE CASCADE, value text)"
        )
        op.execute("INSERT INTO made_anew SELECT id, term_id, value FROM translations")
        op.execute("DROP TABLE translations")
        op.execute("ALTER TABLE made_anew RENAME TO translations")
    """,
)

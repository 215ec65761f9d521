"""One column becomes text, and the row fits in utf8mb4."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE settings (id integer PRIMARY KEY, a varchar(4000), b varchar(4000), c varchar(4000),
            d varchar(4000), e varchar(4000)) CHARACTER SET utf8mb3;
    """,
    rows="INSERT INTO settings (id, a) VALUES (1, 'x');",
    upgrade="""
        op.execute("ALTER TABLE settings MODIFY a text, MODIFY b text")
        op.execute("ALTER TABLE settings CONVERT TO CHARACTER SET utf8mb4")
    """,
)

"""utf8mb4 needs four bytes a character: the row is too large."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/ILIAS-eLearning/ILIAS/pull/12021",
    schema="""
        CREATE TABLE settings (id integer PRIMARY KEY, a varchar(4000), b varchar(4000), c varchar(4000),
            d varchar(4000), e varchar(4000)) CHARACTER SET utf8mb3;
    """,
    rows="INSERT INTO settings (id, a) VALUES (1, 'x');",
    upgrade='op.execute("ALTER TABLE settings CONVERT TO CHARACTER SET utf8mb4")',
    expected="Row size too large",
)

"""An UPDATE sets the stamped column to what it was."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    settings="checks = { CM206 = 'error' }",
    schema="""
        CREATE TABLE notes (id integer PRIMARY KEY, seen integer NOT NULL DEFAULT 0,
            created timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);
    """,
    rows="INSERT INTO notes VALUES (1, 0, '2020-01-01'), (2, 0, '2021-01-01'), (3, 1, '2022-01-01');",
    upgrade='op.execute("UPDATE notes SET seen = 1, created = created")',
)

"""A table gets another collation, and all keys stay different."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE terms (id integer PRIMARY KEY, term varchar(75) COLLATE utf8mb4_bin NOT NULL,
            UNIQUE KEY idx_term (term));
    """,
    rows="INSERT INTO terms VALUES (1, 'one'), (2, 'two');",
    upgrade='op.execute("ALTER TABLE terms CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")',
    downgrade='op.execute("ALTER TABLE terms CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")',
)

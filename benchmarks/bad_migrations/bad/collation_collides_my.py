"""Under the new collation two keys are the same."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/joomla/joomla-cms/issues/9361",
    schema="""
        CREATE TABLE finder_terms (id integer PRIMARY KEY, term varchar(75) COLLATE utf8mb4_bin NOT NULL,
            UNIQUE KEY idx_term (term));
    """,
    rows="INSERT INTO finder_terms VALUES (1, 'ausschliesslich'), (2, 'Ausschliesslich');",
    upgrade='op.execute("ALTER TABLE finder_terms CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")',
    downgrade='op.execute("ALTER TABLE finder_terms CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")',
    expected="Duplicate entry",
)

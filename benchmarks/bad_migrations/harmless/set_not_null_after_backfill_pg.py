"""NULLs are filled, then the column is NOT NULL."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE repo (id integer PRIMARY KEY, resolved boolean);",
    rows="INSERT INTO repo SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE true END FROM generate_series(1, 100) i;",
    upgrade="""
        op.execute("UPDATE repo SET resolved = false WHERE resolved IS NULL")
        op.alter_column("repo", "resolved", nullable=False)
    """,
    downgrade='op.alter_column("repo", "resolved", nullable=True)',
)

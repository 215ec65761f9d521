"""SET NOT NULL on a column that has NULLs."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/fedora-infra/koschei/issues/34",
    schema="CREATE TABLE repo (id integer PRIMARY KEY, base_resolved boolean);",
    rows="INSERT INTO repo SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE true END FROM generate_series(1, 100) i;",
    upgrade='op.alter_column("repo", "base_resolved", nullable=False)',
    downgrade='op.alter_column("repo", "base_resolved", nullable=True)',
    expected="contains null values",
)

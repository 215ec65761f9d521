"""Unique constraint on a column with duplicates."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/mozilla-it/ctms-api/issues/832",
    schema="CREATE TABLE pending_acoustic (id integer PRIMARY KEY, email_id integer NOT NULL);",
    rows="INSERT INTO pending_acoustic SELECT i, i % 40 FROM generate_series(1, 50) i;",
    upgrade='op.create_unique_constraint("uix_pr_email_id", "pending_acoustic", ["email_id"])',
    downgrade='op.drop_constraint("uix_pr_email_id", "pending_acoustic")',
    expected="could not create unique index",
)

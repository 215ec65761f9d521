"""A column of timestamps without values becomes one of dates."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings="checks = { CM203 = 'error' }",
    schema="CREATE TABLE requests (id integer PRIMARY KEY, submitted timestamp);",
    rows="INSERT INTO requests SELECT i, NULL FROM generate_series(1, 9) i;",
    upgrade='op.alter_column("requests", "submitted", type_=sa.Date())',
    downgrade='op.alter_column("requests", "submitted", type_=sa.DateTime())',
)

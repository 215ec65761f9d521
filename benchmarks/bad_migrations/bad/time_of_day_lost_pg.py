"""A timestamp becomes a date: the time of day is gone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/bcgov/entity/issues/183",
    settings="checks = { CM203 = 'error' }",
    schema="CREATE TABLE requests (id integer PRIMARY KEY, submitted timestamp);",
    rows="""
        INSERT INTO requests SELECT i, timestamp '2019-02-01 10:30' + i * interval '1 minute' FROM
            generate_series(1, 9) i;
    """,
    upgrade='op.alter_column("requests", "submitted", type_=sa.Date())',
    downgrade='op.alter_column("requests", "submitted", type_=sa.DateTime())',
    expected="CM203",
)

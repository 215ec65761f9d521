"""text to integer, and one row holds no number."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/npgsql/efcore.pg/issues/304",
    schema="CREATE TABLE counters (id integer PRIMARY KEY, value text);",
    rows="INSERT INTO counters SELECT i, CASE WHEN i = 77 THEN 'n/a' ELSE i::text END FROM generate_series(1, 100) i;",
    upgrade='op.alter_column("counters", "value", type_=sa.Integer(), postgresql_using="value::integer")',
    downgrade='op.alter_column("counters", "value", type_=sa.Text())',
    expected="invalid input syntax for type integer",
)

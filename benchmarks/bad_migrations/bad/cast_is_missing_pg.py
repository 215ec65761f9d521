"""text to integer without USING."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Dolibarr/dolibarr/issues/18085",
    schema="CREATE TABLE ticket_category (id integer PRIMARY KEY, pos varchar(32) NOT NULL);",
    rows="INSERT INTO ticket_category SELECT i, i::text FROM generate_series(1, 10) i;",
    upgrade='op.alter_column("ticket_category", "pos", type_=sa.Integer())',
    downgrade='op.alter_column("ticket_category", "pos", type_=sa.String(32))',
    expected="cannot be cast automatically",
)

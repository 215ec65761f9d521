"""varchar(64) to varchar(32), where all values fit."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE datasets (id integer PRIMARY KEY, name varchar(64) NOT NULL);",
    rows="INSERT INTO datasets SELECT i, 'd' || i FROM generate_series(1, 1000) i;",
    upgrade='op.alter_column("datasets", "name", type_=sa.String(32))',
    downgrade='op.alter_column("datasets", "name", type_=sa.String(64))',
)

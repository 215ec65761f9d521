"""A column is made nullable, as the revision says."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE trigger_row (id integer PRIMARY KEY, kwargs varchar(200) NOT NULL);",
    rows="INSERT INTO trigger_row VALUES (1, 'a'), (2, 'b');",
    upgrade='op.alter_column("trigger_row", "kwargs", nullable=True, existing_type=sa.String(200))',
    downgrade='op.alter_column("trigger_row", "kwargs", nullable=False, existing_type=sa.String(200))',
)

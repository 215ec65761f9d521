"""A column is renamed by CHANGE, its values stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE settings (id integer PRIMARY KEY, some varchar(255));",
    rows="INSERT INTO settings VALUES (1, 'a'), (2, 'b');",
    upgrade='op.alter_column("settings", "some", new_column_name="some_key", existing_type=sa.String(255))',
    downgrade='op.alter_column("settings", "some_key", new_column_name="some", existing_type=sa.String(255))',
)

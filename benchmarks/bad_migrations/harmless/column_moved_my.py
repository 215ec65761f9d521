"""A column is moved to the end, its values stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE settings (id integer PRIMARY KEY, value varchar(255), name varchar(20));",
    rows="INSERT INTO settings VALUES (1, 'a', 'x'), (2, 'b', 'y');",
    upgrade='op.execute("ALTER TABLE settings MODIFY value varchar(255) AFTER name")',
    downgrade='op.execute("ALTER TABLE settings MODIFY value varchar(255) AFTER id")',
)

"""AUTO_INCREMENT is added where no row has id 0."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE hashtypes (id integer PRIMARY KEY, name varchar(20));",
    rows="INSERT INTO hashtypes VALUES (1, 'MD5'), (10, 'salted');",
    upgrade='op.execute("ALTER TABLE hashtypes MODIFY id integer NOT NULL AUTO_INCREMENT")',
    downgrade='op.execute("ALTER TABLE hashtypes MODIFY id integer NOT NULL")',
)

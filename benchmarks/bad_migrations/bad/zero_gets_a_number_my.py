"""AUTO_INCREMENT is added, and the row with id 0 gets another id."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/hashtopolis/server/pull/2192",
    schema="CREATE TABLE hashtypes (id integer PRIMARY KEY, name varchar(20));",
    rows="INSERT INTO hashtypes VALUES (0, 'MD5'), (10, 'salted'), (20, 'other');",
    upgrade='op.execute("ALTER TABLE hashtypes MODIFY id integer NOT NULL AUTO_INCREMENT")',
    downgrade='op.execute("ALTER TABLE hashtypes MODIFY id integer NOT NULL")',
    expected="CM206",
)

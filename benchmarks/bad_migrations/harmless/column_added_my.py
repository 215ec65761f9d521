"""A nullable column on MariaDB."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE roms (id integer PRIMARY KEY, name varchar(20));",
    rows="INSERT INTO roms VALUES (1, 'a');",
    upgrade='op.add_column("roms", sa.Column("hash", sa.String(64)))',
    downgrade='op.drop_column("roms", "hash")',
)

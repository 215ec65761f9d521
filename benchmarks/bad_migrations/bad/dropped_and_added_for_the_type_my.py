"""A column is dropped and added again to change its type."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/anti43/openyabs/issues/17",
    schema="CREATE TABLE valueproperties (id integer PRIMARY KEY, value text);",
    rows="INSERT INTO valueproperties VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        op.execute("ALTER TABLE valueproperties DROP COLUMN value")
        op.execute("ALTER TABLE valueproperties ADD COLUMN value LONGBLOB DEFAULT NULL")
    """,
    expected="CM602",
)

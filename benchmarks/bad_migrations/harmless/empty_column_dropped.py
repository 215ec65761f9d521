"""A column without values is dropped."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, name text, fax text);",
    rows="INSERT INTO users (id, name) VALUES (1, 'a'), (2, 'b');",
    upgrade='op.drop_column("users", "fax")',
    downgrade='op.add_column("users", sa.Column("fax", sa.Text))',
)

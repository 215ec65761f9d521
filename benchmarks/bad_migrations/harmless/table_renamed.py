"""A table with rows is renamed."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE user (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO user VALUES (1, 'a'), (2, 'b');",
    upgrade='op.rename_table("user", "account")',
    downgrade='op.rename_table("account", "user")',
)

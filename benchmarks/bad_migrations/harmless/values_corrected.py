"""A data migration corrects the values of a column."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, email text);",
    rows="INSERT INTO users VALUES (1, 'A@B'), (2, 'c@d');",
    upgrade='op.execute("UPDATE users SET email = lower(email)")',
)

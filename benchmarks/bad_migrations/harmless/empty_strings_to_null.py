"""Empty strings become what they mean."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, phone text);",
    rows="INSERT INTO users VALUES (1, ''), (2, '123');",
    upgrade="""op.execute("UPDATE users SET phone = NULL WHERE phone = ''")""",
    downgrade="""op.execute("UPDATE users SET phone = '' WHERE phone IS NULL")""",
)

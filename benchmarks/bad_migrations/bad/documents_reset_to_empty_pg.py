"""Documents that are no objects are reset to {}, with what is in them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/mattermost-community/focalboard/pull/4029",
    schema="CREATE TABLE users (id integer PRIMARY KEY, props jsonb NOT NULL);",
    rows="""
        INSERT INTO users VALUES (1, '{"theme": "dark"}'), (2, '["tour", "beta"]'), (3, '"theme=light"'), (4, 'null');
    """,
    upgrade="""
        op.execute("UPDATE users SET props = '{}' WHERE jsonb_typeof(props) <> 'object'")
    """,
    expected="CM602",
)

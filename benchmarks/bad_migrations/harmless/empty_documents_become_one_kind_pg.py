"""Documents without anything in them become NULL, whatever kind of nothing they were."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE users (id integer PRIMARY KEY, props jsonb, tags text[] NOT NULL, notes text);",
    rows="""
        INSERT INTO users VALUES (1, '{"theme": "dark"}', '{a}', ' '), (2, '[]', '{}', 'x'), (3, 'null', '{b,c}', ''),
            (4, '{}', '{}', NULL), (5, NULL, '{}', E'\\n');
    """,
    upgrade="""
        op.execute("UPDATE users SET props = NULL WHERE props IN ('{}', '[]', 'null')")
        op.execute("UPDATE users SET notes = '' WHERE notes IS NULL OR trim(notes) = ''")
    """,
)

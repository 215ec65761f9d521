"""jsonb_set with a NULL makes NULL of the whole document."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/hashbang/userdb/issues/36",
    schema="CREATE TABLE docs (id integer PRIMARY KEY, data jsonb, owner text);",
    rows="""
        INSERT INTO docs SELECT i, jsonb_build_object('n', i), CASE WHEN i > 3 THEN 'o' || i END FROM
            generate_series(1, 9) i;
    """,
    upgrade="""
        op.execute("UPDATE docs SET data = jsonb_set(data, '{owner}', to_jsonb(owner))")
    """,
    expected="CM602",
)

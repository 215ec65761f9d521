"""All rows are filled in batches, each with a commit of its own."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "500ms"\nchecks = { CM304 = "error" }',
    schema="CREATE TABLE apps (id integer PRIMARY KEY, created_by text NOT NULL, maintainer text);",
    rows="INSERT INTO apps SELECT i, 'user ' || i FROM generate_series(1, 20000) i;",
    upgrade="""
        with op.get_context().autocommit_block():
            for first in range(0, 20001, 2000):
                op.execute(
                    f"UPDATE apps SET maintainer = created_by WHERE id BETWEEN {first} AND {first + 1999}"
                )
    """,
)

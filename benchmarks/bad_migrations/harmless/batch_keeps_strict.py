"""Batch mode rebuilds a STRICT table, which stays one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, name text) STRICT;",
    rows="INSERT INTO users VALUES (1, 'a');",
    upgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("name", nullable=False)
    """,
    downgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("name", nullable=True)
    """,
)

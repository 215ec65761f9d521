"""A column is renamed, its values stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, fullname text);",
    rows="INSERT INTO users VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("fullname", new_column_name="full_name")
    """,
    downgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("full_name", new_column_name="fullname")
    """,
)

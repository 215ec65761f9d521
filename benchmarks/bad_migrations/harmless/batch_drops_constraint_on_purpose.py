"""Batch mode drops a constraint that the revision names."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE accounts (id integer PRIMARY KEY, email text, CONSTRAINT uq_email UNIQUE (email));
    """,
    rows="INSERT INTO accounts VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.drop_constraint("uq_email", type_="unique")
    """,
    downgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.create_unique_constraint("uq_email", ["email"])
    """,
)

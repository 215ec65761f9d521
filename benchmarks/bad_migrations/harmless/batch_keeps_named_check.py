"""Batch mode rebuilds a table whose CHECK constraint has a name."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL, note text,
            CONSTRAINT ck_balance CHECK (balance >= 0));
    """,
    rows="INSERT INTO accounts VALUES (1, 10, 'a');",
    upgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.alter_column("note", type_=sa.String(100))
    """,
    downgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.alter_column("note", type_=sa.Text())
    """,
)

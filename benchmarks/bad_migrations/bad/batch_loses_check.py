"""Batch mode rebuilds the table without its unnamed CHECK constraint."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/sqlalchemy/alembic/issues/1846",
    schema="CREATE TABLE accounts (id integer PRIMARY KEY, balance integer NOT NULL, note text, CHECK (balance >= 0));",
    rows="INSERT INTO accounts VALUES (1, 10, 'a'), (2, 0, 'b');",
    upgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.alter_column("note", type_=sa.String(100))
    """,
    downgrade="""
        with op.batch_alter_table("accounts") as batch:
            batch.alter_column("note", type_=sa.Text())
    """,
    expected="CM210",
)

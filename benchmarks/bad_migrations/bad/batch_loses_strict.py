"""Batch mode rebuilds a STRICT table as an ordinary one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/sqlalchemy/alembic/issues/1758",
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
    expected="CM2",
)

"""Batch mode rebuilds a table that a view reads."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/sqlalchemy/alembic/issues/1207",
    schema="""
        CREATE TABLE foo (id integer PRIMARY KEY, name text);
        CREATE VIEW my_foo AS SELECT id FROM foo;
    """,
    rows="INSERT INTO foo VALUES (1, 'a');",
    upgrade="""
        with op.batch_alter_table("foo", recreate="always") as batch:
            batch.alter_column("name", type_=sa.String(20))
    """,
    downgrade="pass",
    expected="error in view my_foo",
)

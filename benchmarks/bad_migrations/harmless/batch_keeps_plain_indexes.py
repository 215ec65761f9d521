"""Batch mode rebuilds a table whose indexes have columns and conditions alone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE tasks (id integer NOT NULL PRIMARY KEY, kind text NOT NULL, state text NOT NULL,
            note text);
        CREATE UNIQUE INDEX tasks_active ON tasks (kind) WHERE state = 'active';
        CREATE INDEX tasks_state ON tasks (state, kind);
    """,
    rows="INSERT INTO tasks VALUES (1, 'render', 'active', NULL), (2, 'render', 'done', NULL);",
    upgrade="""
        with op.batch_alter_table("tasks") as batch:
            batch.alter_column("note", type_=sa.String(200))
    """,
    downgrade="""
        with op.batch_alter_table("tasks") as batch:
            batch.alter_column("note", type_=sa.Text())
    """,
)

"""A unique index on an expression goes with the table that batch mode rebuilds."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/ArcReel/ArcReel/issues/1807",
    schema="""
        CREATE TABLE tasks (id integer NOT NULL PRIMARY KEY, kind text NOT NULL, state text NOT NULL,
            note text);
        CREATE UNIQUE INDEX tasks_active ON tasks (lower(kind)) WHERE state = 'active';
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
    expected="CM210",
)

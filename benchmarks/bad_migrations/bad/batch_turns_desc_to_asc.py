"""A descending index is ascending after batch mode rebuilt its table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/Arize-ai/phoenix/issues/15039",
    settings="checks = { CM210 = 'error' }",
    schema="""
        CREATE TABLE sessions (id integer NOT NULL PRIMARY KEY, project text, ended text, note text);
        CREATE INDEX ix_sessions ON sessions (project, ended DESC);
    """,
    rows="INSERT INTO sessions VALUES (1, 'a', '2026-01-01', 'x'), (2, 'b', '2026-01-02', 'y');",
    upgrade="""
        with op.batch_alter_table("sessions") as batch:
            batch.alter_column("note", type_=sa.String(200))
    """,
    downgrade="""
        with op.batch_alter_table("sessions") as batch:
            batch.alter_column("note", type_=sa.Text())
    """,
    expected="CM210",
)

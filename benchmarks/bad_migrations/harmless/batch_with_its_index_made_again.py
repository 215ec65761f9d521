"""Batch mode rebuilds a table, and the revision makes its descending index again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE sessions (id integer NOT NULL PRIMARY KEY, project text, ended text, note text);
        CREATE INDEX ix_sessions ON sessions (project, ended DESC);
    """,
    rows="INSERT INTO sessions VALUES (1, 'a', '2026-01-01', 'x'), (2, 'b', '2026-01-02', 'y');",
    upgrade="""
        op.drop_index("ix_sessions", "sessions")
        with op.batch_alter_table("sessions") as batch:
            batch.alter_column("note", type_=sa.String(200))
        op.execute("CREATE INDEX ix_sessions ON sessions (project, ended DESC)")
    """,
    downgrade="""
        op.drop_index("ix_sessions", "sessions")
        with op.batch_alter_table("sessions") as batch:
            batch.alter_column("note", type_=sa.Text())
        op.execute("CREATE INDEX ix_sessions ON sessions (project, ended DESC)")
    """,
)

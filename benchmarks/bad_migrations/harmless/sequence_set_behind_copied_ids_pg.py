"""Rows are copied with their ids, and the sequence is set behind them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE milestones (id serial PRIMARY KEY, title text);
        CREATE TABLE old_milestones (id integer PRIMARY KEY, title text);
    """,
    rows="""
        INSERT INTO milestones (title) SELECT 't' || i FROM generate_series(1, 3) i;
        INSERT INTO old_milestones SELECT i, 'o' || i FROM generate_series(4, 9) i;
    """,
    upgrade="""
        op.execute("INSERT INTO milestones (id, title) SELECT id, title FROM old_milestones")
        op.execute("SELECT setval('milestones_id_seq', (SELECT max(id) FROM milestones))")
    """,
    downgrade='op.execute("DELETE FROM milestones WHERE id > 3")',
)

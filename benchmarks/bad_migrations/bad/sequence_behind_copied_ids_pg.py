"""Rows are copied with their ids, and the sequence does not know: the next insert fails."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/AyuntamientoMadrid/consul/pull/1718",
    schema="""
        CREATE TABLE milestones (id serial PRIMARY KEY, title text);
        CREATE TABLE old_milestones (id integer PRIMARY KEY, title text);
    """,
    rows="""
        INSERT INTO milestones (title) SELECT 't' || i FROM generate_series(1, 3) i;
        INSERT INTO old_milestones SELECT i, 'o' || i FROM generate_series(4, 9) i;
    """,
    upgrade='op.execute("INSERT INTO milestones (id, title) SELECT id, title FROM old_milestones")',
    downgrade='op.execute("DELETE FROM milestones WHERE id > 3")',
    expected="CM205",
)

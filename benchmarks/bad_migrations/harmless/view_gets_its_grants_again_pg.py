"""A view is dropped and made again, with the privileges that it had."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE journal (id integer PRIMARY KEY, amount numeric(10, 2), note text);
        CREATE VIEW entries AS SELECT id, amount FROM journal;
        GRANT SELECT ON entries TO PUBLIC;
    """,
    rows="INSERT INTO journal SELECT i, i, 'n' FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP VIEW entries")
        op.alter_column("journal", "amount", type_=sa.Numeric())
        op.execute("CREATE VIEW entries AS SELECT id, amount FROM journal")
        op.execute("GRANT SELECT ON entries TO PUBLIC")
    """,
    downgrade="""
        op.execute("DROP VIEW entries")
        op.alter_column("journal", "amount", type_=sa.Numeric(10, 2))
        op.execute("CREATE VIEW entries AS SELECT id, amount FROM journal")
        op.execute("GRANT SELECT ON entries TO PUBLIC")
    """,
)

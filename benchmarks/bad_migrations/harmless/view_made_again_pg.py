"""A view is dropped, its column changed, the view made again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE datasets (id integer PRIMARY KEY, name varchar(64) NOT NULL);
        CREATE VIEW datasets_view AS SELECT id, name FROM datasets;
    """,
    rows="INSERT INTO datasets SELECT i, 'd' || i FROM generate_series(1, 10) i;",
    upgrade="""
        op.execute("DROP VIEW datasets_view")
        op.alter_column("datasets", "name", type_=sa.String(255))
        op.execute("CREATE VIEW datasets_view AS SELECT id, name FROM datasets")
    """,
    downgrade="""
        op.execute("DROP VIEW datasets_view")
        op.alter_column("datasets", "name", type_=sa.String(64))
        op.execute("CREATE VIEW datasets_view AS SELECT id, name FROM datasets")
    """,
)

"""The type of a column that a view reads."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/MarquezProject/marquez/issues/2303",
    schema="""
        CREATE TABLE datasets (id integer PRIMARY KEY, name varchar(64) NOT NULL);
        CREATE VIEW datasets_view AS SELECT id, name FROM datasets;
    """,
    rows="INSERT INTO datasets SELECT i, 'd' || i FROM generate_series(1, 10) i;",
    upgrade='op.alter_column("datasets", "name", type_=sa.String(255))',
    downgrade='op.alter_column("datasets", "name", type_=sa.String(64))',
    expected="cannot alter type of a column used by a view",
)

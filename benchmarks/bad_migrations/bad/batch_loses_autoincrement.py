"""Batch mode rebuilds the table without AUTOINCREMENT: ids of deleted rows come again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/truenas/middleware/pull/10652",
    schema="CREATE TABLE membership (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, name text);",
    rows="INSERT INTO membership (name) VALUES ('a'), ('b');",
    upgrade="""
        with op.batch_alter_table("membership") as batch:
            batch.alter_column("name", type_=sa.String(120))
    """,
    downgrade="""
        with op.batch_alter_table("membership") as batch:
            batch.alter_column("name", type_=sa.Text())
    """,
    expected="CM210",
)

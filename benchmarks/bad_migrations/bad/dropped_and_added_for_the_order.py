"""Columns are dropped and added again to change their order."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/SpareCores/sc-crawler/pull/111",
    schema="CREATE TABLE database_table (id integer PRIMARY KEY, vcpus integer, family text);",
    rows="INSERT INTO database_table VALUES (1, 2, 'm5'), (2, 4, 'm6');",
    upgrade="""
        with op.batch_alter_table("database_table") as batch:
            batch.drop_column("vcpus")
        with op.batch_alter_table("database_table") as batch:
            batch.add_column(sa.Column("vcpus", sa.Integer))
    """,
    downgrade="pass",
    expected="CM602",
)

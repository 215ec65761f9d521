"""Text that holds numbers alone becomes integer."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE counters (id integer PRIMARY KEY, value text);",
    rows="INSERT INTO counters VALUES (1, '10'), (2, '20'), (3, NULL);",
    upgrade="""
        with op.batch_alter_table("counters") as batch:
            batch.alter_column("value", type_=sa.Integer())
    """,
    downgrade="""
        with op.batch_alter_table("counters") as batch:
            batch.alter_column("value", type_=sa.Text())
    """,
)

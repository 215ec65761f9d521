"""A table is turned into another shape, what stood in the old columns is gone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/princeton-ddss/blackfish/issues/246",
    schema="CREATE TABLE jobs (id integer PRIMARY KEY, pipeline text, ntotal integer);",
    rows="INSERT INTO jobs VALUES (1, 'speech', 10), (2, 'speech', 20);",
    upgrade="""
        with op.batch_alter_table("jobs") as batch:
            batch.alter_column("ntotal", new_column_name="staged")
            batch.drop_column("pipeline")
            batch.add_column(sa.Column("task", sa.Text))
    """,
    downgrade="""
        with op.batch_alter_table("jobs") as batch:
            batch.alter_column("staged", new_column_name="ntotal")
            batch.add_column(sa.Column("pipeline", sa.Text))
            batch.drop_column("task")
    """,
    expected="CM202",
)

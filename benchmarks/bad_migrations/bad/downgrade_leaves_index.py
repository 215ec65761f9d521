"""The downgrade does not drop the index that the upgrade made."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/digital-land/digital-land.info/pull/518",
    settings="require-downgrade = true",
    schema="CREATE TABLE task (id integer PRIMARY KEY, dataset text);",
    rows="INSERT INTO task VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        op.add_column("task", sa.Column("severity", sa.Text))
        op.execute("CREATE INDEX IF NOT EXISTS idx_task_dataset ON task (dataset)")
    """,
    downgrade='op.drop_column("task", "severity")',
    expected="CM402",
)

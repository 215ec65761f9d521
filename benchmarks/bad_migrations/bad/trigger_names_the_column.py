"""DROP COLUMN of a column that a trigger names."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/imbue-ai/sculptor/pull/42",
    schema="""
        CREATE TABLE workspace (id integer PRIMARY KEY, harness text);
        CREATE TRIGGER workspace_before_insert BEFORE INSERT ON workspace BEGIN
            SELECT RAISE(ABORT, 'no') WHERE NEW.harness = 'x';
          END;
    """,
    rows="INSERT INTO workspace (id) VALUES (1);",
    upgrade='op.drop_column("workspace", "harness")',
    downgrade='op.add_column("workspace", sa.Column("harness", sa.Text))',
    expected="error in trigger workspace_before_insert",
)

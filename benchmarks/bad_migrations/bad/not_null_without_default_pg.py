"""NOT NULL column without a default, on a table with rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/semaphoreui/semaphore/issues/2976",
    schema="CREATE TABLE extract_value (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO extract_value SELECT i, 'v' || i FROM generate_series(1, 20) i;",
    upgrade="""
        op.add_column("extract_value", sa.Column("variable_type", sa.String(255), nullable=False))
        op.execute("UPDATE extract_value SET variable_type = 'environment' WHERE variable_type IS NULL")
    """,
    downgrade='op.drop_column("extract_value", "variable_type")',
    expected="dry-run",
)

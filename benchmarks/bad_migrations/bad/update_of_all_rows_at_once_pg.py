"""All rows are filled by one UPDATE: whoever writes to one of them waits for the commit."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/langgenius/dify/issues/37706",
    settings='lock-budget = "20ms"\nchecks = { CM304 = "error" }',
    schema="CREATE TABLE apps (id integer PRIMARY KEY, created_by text NOT NULL, maintainer text);",
    rows="INSERT INTO apps SELECT i, 'user ' || i FROM generate_series(1, 60000) i;",
    upgrade='op.execute("UPDATE apps SET maintainer = created_by WHERE maintainer IS NULL")',
    expected="CM304",
)

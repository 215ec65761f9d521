"""A foreign key of a large table without an index: each DELETE of a parent reads the whole table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/pypi/warehouse/pull/4549",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer);
    """,
    rows="""
        INSERT INTO projects SELECT i FROM generate_series(1, 20) i;
        INSERT INTO files SELECT i, 1 + i % 20 FROM generate_series(1, 100000) i;
    """,
    upgrade='op.create_foreign_key("fk_project", "files", "projects", ["project_id"], ["id"], ondelete="CASCADE")',
    downgrade='op.drop_constraint("fk_project", "files")',
    expected="CM305",
)

"""A foreign key without an index, on a table that is read in an instant."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer);
    """,
    rows="""
        INSERT INTO projects SELECT i FROM generate_series(1, 20) i;
        INSERT INTO files SELECT i, 1 + i % 20 FROM generate_series(1, 5000) i;
    """,
    upgrade='op.create_foreign_key("fk_project", "files", "projects", ["project_id"], ["id"], ondelete="CASCADE")',
    downgrade='op.drop_constraint("fk_project", "files")',
)

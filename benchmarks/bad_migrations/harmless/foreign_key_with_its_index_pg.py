"""A foreign key of a large table, and an index that begins with its column."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer);
        CREATE INDEX ix_files_project ON files (project_id, id);
    """,
    rows="""
        INSERT INTO projects SELECT i FROM generate_series(1, 20) i;
        INSERT INTO files SELECT i, 1 + i % 20 FROM generate_series(1, 100000) i;
    """,
    upgrade='op.create_foreign_key("fk_project", "files", "projects", ["project_id"], ["id"], ondelete="CASCADE")',
    downgrade='op.drop_constraint("fk_project", "files")',
)

"""An index goes that nobody seemed to use: each DELETE of a parent needed it."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Mnexa-AI/e2a/pull/934",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer REFERENCES projects ON DELETE SET NULL);
        CREATE INDEX ix_files_project ON files (project_id);
    """,
    rows="""
        INSERT INTO projects SELECT i FROM generate_series(1, 20) i;
        INSERT INTO files SELECT i, 1 + i % 20 FROM generate_series(1, 100000) i;
    """,
    upgrade='op.drop_index("ix_files_project", "files")',
    downgrade='op.create_index("ix_files_project", "files", ["project_id"])',
    expected="CM305",
)

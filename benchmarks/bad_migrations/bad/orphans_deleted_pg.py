"""A migration that adds a foreign key deletes the rows that stand in its way."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/linagora/openrag/issues/357",
    schema="""
        CREATE TABLE files (file_id integer PRIMARY KEY);
        CREATE TABLE workspace_files (id integer PRIMARY KEY, file_id integer NOT NULL);
    """,
    rows="""
        INSERT INTO files SELECT i FROM generate_series(1, 80) i;
        INSERT INTO workspace_files SELECT i, i FROM generate_series(1, 100) i;
    """,
    upgrade="""
        op.execute("DELETE FROM workspace_files WHERE file_id NOT IN (SELECT file_id FROM files)")
        op.create_foreign_key("fk_file", "workspace_files", "files", ["file_id"], ["file_id"])
    """,
    downgrade='op.drop_constraint("fk_file", "workspace_files")',
    expected="CM601",
)

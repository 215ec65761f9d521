"""A foreign key of a large table, and an index on its column."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer);
        CREATE INDEX ix_files_project ON files (project_id);
    """,
    rows="""
        INSERT INTO projects VALUES (1), (2), (3);
        INSERT INTO files WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000)
            SELECT n, 1 + n % 3 FROM s;
    """,
    upgrade="""
        with op.batch_alter_table("files") as batch:
            batch.create_foreign_key("fk_project", "projects", ["project_id"], ["id"])
    """,
    downgrade="""
        with op.batch_alter_table("files") as batch:
            batch.drop_constraint("fk_project", type_="foreignkey")
    """,
)

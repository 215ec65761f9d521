"""A foreign key of a large table without an index: each DELETE of a parent reads the whole table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/ohdearquant/lionagi/pull/2507",
    settings='checks = { CM305 = "error" }',
    schema="""
        CREATE TABLE projects (id integer PRIMARY KEY);
        CREATE TABLE files (id integer PRIMARY KEY, project_id integer);
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
    expected="CM305",
)

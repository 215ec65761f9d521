"""AUTO_INCREMENT = 1 on a table with rows: the server sets it behind the last one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE resources (id integer PRIMARY KEY AUTO_INCREMENT, name varchar(20));",
    rows="INSERT INTO resources (name) VALUES ('a'), ('b'), ('c');",
    upgrade="""
        op.execute("ALTER TABLE resources AUTO_INCREMENT = 1")
        op.execute("INSERT INTO resources (name) VALUES ('d')")
    """,
    downgrade="op.execute(\"DELETE FROM resources WHERE name = 'd'\")",
)

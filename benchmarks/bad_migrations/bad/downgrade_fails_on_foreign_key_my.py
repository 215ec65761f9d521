"""The downgrade drops an index that a foreign key needs."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/apache/superset/pull/29799",
    settings="require-downgrade = true",
    schema="""
        CREATE TABLE dbs (id integer PRIMARY KEY);
        CREATE TABLE tokens (id integer PRIMARY KEY, db_id integer NOT NULL);
    """,
    rows="""
        INSERT INTO dbs VALUES (1);
        INSERT INTO tokens VALUES (1, 1);
    """,
    upgrade="""
        op.create_index("idx_db_id", "tokens", ["db_id"])
        op.create_foreign_key("fk_db", "tokens", "dbs", ["db_id"], ["id"])
    """,
    downgrade="""
        op.drop_index("idx_db_id", "tokens")
        op.drop_constraint("fk_db", "tokens", type_="foreignkey")
    """,
    expected="CM402",
)

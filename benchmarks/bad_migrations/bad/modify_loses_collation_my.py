"""A longer varchar without its collation: names that differ in case are the same now."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/alibaba/nacos/issues/15543",
    schema="""
        CREATE TABLE configs (id integer PRIMARY KEY,
            data_id varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL);
    """,
    rows="INSERT INTO configs VALUES (1, 'Alpha'), (2, 'alpha');",
    upgrade="""
        op.alter_column("configs", "data_id", type_=sa.String(200), existing_type=sa.String(100),
                        existing_nullable=False)
    """,
    downgrade='op.execute("ALTER TABLE configs MODIFY data_id varchar(100) COLLATE utf8mb4_bin NOT NULL")',
    expected="CM210",
)

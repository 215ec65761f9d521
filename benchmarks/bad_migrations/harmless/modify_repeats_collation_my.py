"""A longer varchar with its collation."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE configs (id integer PRIMARY KEY,
            data_id varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL);
    """,
    rows="INSERT INTO configs VALUES (1, 'Alpha'), (2, 'alpha');",
    upgrade="""
        op.alter_column("configs", "data_id", type_=sa.String(200, collation="utf8mb4_bin"),
                        existing_type=sa.String(100), existing_nullable=False)
    """,
    downgrade='op.execute("ALTER TABLE configs MODIFY data_id varchar(100) COLLATE utf8mb4_bin NOT NULL")',
)

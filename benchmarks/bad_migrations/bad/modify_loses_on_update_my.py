"""MODIFY without ON UPDATE: the column is never stamped again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/sequelpro/sequelpro/issues/1866",
    schema="""
        CREATE TABLE maps (id integer PRIMARY KEY, name varchar(40),
            updated timestamp(0) NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);
    """,
    rows="INSERT INTO maps VALUES (1, 'a', '2020-01-01'), (2, 'b', '2021-01-01'), (3, 'c', '2022-01-01');",
    upgrade="""
        op.execute("ALTER TABLE maps MODIFY updated timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)")
    """,
    downgrade="""
        op.execute(
            "ALTER TABLE maps MODIFY updated timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE "
            "CURRENT_TIMESTAMP"
        )
    """,
    expected="CM210",
)

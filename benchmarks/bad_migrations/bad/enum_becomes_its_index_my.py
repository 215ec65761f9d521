"""enum('0','1') to tinyint gives the place in the list: 0 is 1, and 1 is 2."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/FOGProject/fogproject/pull/1364",
    schema="CREATE TABLE hosts (id integer PRIMARY KEY, active enum('0', '1') NOT NULL);",
    rows="INSERT INTO hosts VALUES (1, '0'), (2, '1'), (3, '1');",
    upgrade="""
        op.alter_column("hosts", "active", type_=sa.SmallInteger(), existing_type=sa.Enum("0", "1"),
                        existing_nullable=False)
    """,
    expected="CM206",
)

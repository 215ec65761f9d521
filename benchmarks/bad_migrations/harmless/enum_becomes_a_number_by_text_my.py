"""enum('0','1') becomes a varchar, and that a number."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE hosts (id integer PRIMARY KEY, active enum('0', '1') NOT NULL);",
    rows="INSERT INTO hosts VALUES (1, '0'), (2, '1'), (3, '1');",
    upgrade="""
        op.alter_column("hosts", "active", type_=sa.String(1), existing_type=sa.Enum("0", "1"),
                        existing_nullable=False)
        op.alter_column("hosts", "active", type_=sa.SmallInteger(), existing_type=sa.String(1),
                        existing_nullable=False)
    """,
)

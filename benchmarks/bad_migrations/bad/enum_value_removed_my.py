"""A value of an enum is removed that rows still have."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/prisma/studio/issues/1084",
    schema="CREATE TABLE session_log (id integer PRIMARY KEY, kind enum('STARTED', 'EXIT', 'BACK') NOT NULL);",
    rows="INSERT INTO session_log VALUES (1, 'STARTED'), (2, 'BACK');",
    upgrade="""
        op.alter_column("session_log", "kind", type_=sa.Enum("STARTED", "EXIT"), existing_nullable=False,
                        existing_type=sa.Enum("STARTED", "EXIT", "BACK"))
    """,
    expected="Data truncated",
)

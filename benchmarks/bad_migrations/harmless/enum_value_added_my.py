"""A value is added at the end of an enum."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE session_log (id integer PRIMARY KEY, kind enum('STARTED', 'EXIT') NOT NULL);",
    rows="INSERT INTO session_log VALUES (1, 'STARTED'), (2, 'EXIT');",
    upgrade="""
        op.alter_column("session_log", "kind", type_=sa.Enum("STARTED", "EXIT", "BACK"), existing_nullable=False,
                        existing_type=sa.Enum("STARTED", "EXIT"))
    """,
    downgrade="""
        op.alter_column("session_log", "kind", type_=sa.Enum("STARTED", "EXIT"), existing_nullable=False,
                        existing_type=sa.Enum("STARTED", "EXIT", "BACK"))
    """,
)

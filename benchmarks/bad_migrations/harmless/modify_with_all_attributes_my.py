"""A change of type that repeats NOT NULL and default."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE trigger_row (id integer PRIMARY KEY, kwargs varchar(200) NOT NULL DEFAULT 'none');",
    rows="INSERT INTO trigger_row VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        op.alter_column("trigger_row", "kwargs", type_=sa.String(400), existing_type=sa.String(200),
                        existing_nullable=False, existing_server_default="none")
    """,
    downgrade="""
        op.alter_column("trigger_row", "kwargs", type_=sa.String(200), existing_type=sa.String(400),
                        existing_nullable=False, existing_server_default="none")
    """,
)

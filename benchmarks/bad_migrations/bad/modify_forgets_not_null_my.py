"""A change of type without existing_nullable makes the column nullable."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/apache/airflow/pull/39361",
    schema="CREATE TABLE trigger_row (id integer PRIMARY KEY, kwargs varchar(200) NOT NULL DEFAULT 'none');",
    rows="INSERT INTO trigger_row VALUES (1, 'a'), (2, 'b');",
    upgrade='op.alter_column("trigger_row", "kwargs", type_=sa.Text(), existing_type=sa.String(200))',
    downgrade="""
        op.alter_column("trigger_row", "kwargs", type_=sa.String(200), existing_type=sa.Text(), nullable=False,
                        server_default="none")
    """,
    expected="CM210",
)

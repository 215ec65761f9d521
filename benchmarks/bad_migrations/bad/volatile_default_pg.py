"""A new column whose default differs from row to row rewrites the table."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/xataio/pgroll/issues/643",
    settings='lock-budget = "20ms"',
    schema="CREATE TABLE items (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO items SELECT i, repeat('x', 100) FROM generate_series(1, 60000) i;",
    upgrade="""
        op.add_column("items", sa.Column("token", sa.Uuid, nullable=False, server_default=sa.text("gen_random_uuid()")))
    """,
    downgrade='op.drop_column("items", "token")',
    expected="CM30",
)

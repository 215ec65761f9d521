"""An index is built concurrently with IF NOT EXISTS, and there is none of that name."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE reports (id integer PRIMARY KEY, account integer NOT NULL);",
    rows="INSERT INTO reports SELECT i, i % 5 FROM generate_series(1, 20) i;",
    upgrade="""
        with op.get_context().autocommit_block():
            op.create_index("reports_account", "reports", ["account"], postgresql_concurrently=True,
                            if_not_exists=True)
    """,
    downgrade='op.drop_index("reports_account", "reports")',
)

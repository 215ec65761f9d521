"""A new column is filled in the transaction that added it: readers stand before the lock."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/nyaruka/rapidpro/pull/1892",
    settings='lock-budget = "20ms"',
    schema="CREATE TABLE contacts (id integer PRIMARY KEY, name text NOT NULL);",
    rows="INSERT INTO contacts SELECT i, 'Contact ' || i FROM generate_series(1, 50000) i;",
    upgrade="""
        op.add_column("contacts", sa.Column("name_lower", sa.Text))
        op.execute("UPDATE contacts SET name_lower = lower(name)")
    """,
    downgrade='op.drop_column("contacts", "name_lower")',
    expected="CM301",
)

"""Ids come from a random generator: no two runs write the same."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/onetimesecret/onetimesecret/pull/2750",
    settings="rehearse-twice = true",
    schema="CREATE TABLE customers (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO customers VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        import uuid
        op.add_column("customers", sa.Column("objid", sa.Text))
        for row in op.get_bind().execute(sa.text("SELECT id FROM customers")).all():
            op.execute(f"UPDATE customers SET objid = '{uuid.uuid4()}' WHERE id = {row[0]}")
    """,
    downgrade='op.drop_column("customers", "objid")',
    expected="CM603",
)

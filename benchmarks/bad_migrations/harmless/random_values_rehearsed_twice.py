"""Random values are written, by the same statements each time."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    settings="rehearse-twice = true",
    schema="CREATE TABLE customers (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO customers VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        op.add_column("customers", sa.Column("objid", sa.Text))
        op.execute("UPDATE customers SET objid = lower(hex(randomblob(16)))")
    """,
    downgrade='op.drop_column("customers", "objid")',
)

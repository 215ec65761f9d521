"""Ids are drawn while the migration runs: no two runs write the same, and what was rehearsed is not what runs."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/onetimesecret/onetimesecret/pull/2750",
    settings="rehearse-twice = true",
    schema="CREATE TABLE customers (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO customers VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        import uuid
        name = f"customers_{uuid.uuid4().hex}"
        op.create_table(name, sa.Column("customer_id", sa.Integer, primary_key=True))
        op.execute(f"INSERT INTO {name} SELECT id FROM customers")
    """,
    expected="CM603",
)

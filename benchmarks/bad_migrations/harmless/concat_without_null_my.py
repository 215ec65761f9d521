"""CONCAT_WS leaves out what is NULL, and the old columns stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE customers (id integer PRIMARY KEY, first varchar(20), last varchar(20));",
    rows="INSERT INTO customers VALUES (1, 'Ada', 'Lovelace'), (2, 'Plato', NULL), (3, NULL, 'Moss');",
    upgrade="""
        op.add_column("customers", sa.Column("name", sa.String(50)))
        op.execute("UPDATE customers SET name = CONCAT_WS(' ', first, last)")
    """,
    downgrade='op.drop_column("customers", "name")',
)

"""CONCAT is NULL if one of its parts is: names are lost."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/solidusio/solidus/pull/1370",
    schema="CREATE TABLE customers (id integer PRIMARY KEY, first varchar(20), last varchar(20));",
    rows="INSERT INTO customers VALUES (1, 'Ada', 'Lovelace'), (2, 'Plato', NULL), (3, NULL, 'Moss');",
    upgrade="""
        op.add_column("customers", sa.Column("name", sa.String(50)))
        op.execute("UPDATE customers SET name = CONCAT(first, ' ', last)")
        op.drop_column("customers", "first")
        op.drop_column("customers", "last")
    """,
    expected="CM202",
)

"""NOT NULL column with a default."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE products (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO products VALUES (1, 'shirt');",
    upgrade='op.add_column("products", sa.Column("stock", sa.Integer, nullable=False, server_default="0"))',
    downgrade='op.drop_column("products", "stock")',
)

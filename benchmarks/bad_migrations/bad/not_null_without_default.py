"""NOT NULL column without a default, on a table with rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/janavipandole/Cara/issues/6151",
    schema="CREATE TABLE products (id integer PRIMARY KEY, name text);",
    rows="INSERT INTO products VALUES (1, 'shirt');",
    upgrade='op.add_column("products", sa.Column("stock", sa.Integer, nullable=False))',
    downgrade='op.drop_column("products", "stock")',
    expected="Cannot add a NOT NULL column",
)

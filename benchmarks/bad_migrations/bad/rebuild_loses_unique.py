"""A table is rebuilt by hand without its UNIQUE."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/drizzle-team/drizzle-orm/issues/6060",
    schema="CREATE TABLE orders (id integer NOT NULL PRIMARY KEY, sku text NOT NULL UNIQUE, label text);",
    rows="INSERT INTO orders VALUES (1, 'a', 'x'), (2, 'b', NULL);",
    upgrade="""
        op.execute(
            "CREATE TABLE made_anew (id integer NOT NULL PRIMARY KEY, sku text NOT NULL, label "
            "varchar(100))"
        )
        op.execute("INSERT INTO made_anew SELECT id, sku, label FROM orders")
        op.execute("DROP TABLE orders")
        op.execute("ALTER TABLE made_anew RENAME TO orders")
    """,
    downgrade="""
        op.execute(
            "CREATE TABLE made_anew (id integer NOT NULL PRIMARY KEY, sku text NOT NULL UNIQUE, label "
            "text)"
        )
        op.execute("INSERT INTO made_anew SELECT id, sku, label FROM orders")
        op.execute("DROP TABLE orders")
        op.execute("ALTER TABLE made_anew RENAME TO orders")
    """,
    expected="CM210",
)

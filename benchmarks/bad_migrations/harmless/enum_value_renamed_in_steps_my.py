"""A value of an enum gets another name: added, set, and only then removed."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="CREATE TABLE orders (id integer PRIMARY KEY, status enum('waiting_payment', 'shipped') NOT NULL);",
    rows="INSERT INTO orders VALUES (1, 'waiting_payment'), (2, 'shipped'), (3, 'waiting_payment');",
    upgrade="""
        op.execute("ALTER TABLE orders MODIFY status enum('waiting_payment', 'shipped', 'unpaid') NOT NULL")
        op.execute("UPDATE orders SET status = 'unpaid' WHERE status = 'waiting_payment'")
        op.execute("ALTER TABLE orders MODIFY status enum('unpaid', 'shipped') NOT NULL")
    """,
    downgrade="""
        op.execute("ALTER TABLE orders MODIFY status enum('waiting_payment', 'shipped', 'unpaid') NOT NULL")
        op.execute("UPDATE orders SET status = 'waiting_payment' WHERE status = 'unpaid'")
        op.execute("ALTER TABLE orders MODIFY status enum('waiting_payment', 'shipped') NOT NULL")
    """,
)

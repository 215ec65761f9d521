"""A value of an enum gets another name while the session is not strict: rows that have it hold ''."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://phpfashion.com/en/renaming-mysql-enum-without-data-loss",
    schema="CREATE TABLE orders (id integer PRIMARY KEY, status enum('waiting_payment', 'shipped') NOT NULL);",
    rows="INSERT INTO orders VALUES (1, 'waiting_payment'), (2, 'shipped'), (3, 'waiting_payment');",
    upgrade="""
        op.execute("SET SESSION sql_mode = ''")
        op.execute("ALTER TABLE orders MODIFY status enum('unpaid', 'shipped') NOT NULL")
    """,
    downgrade="""op.execute("ALTER TABLE orders MODIFY status enum('waiting_payment', 'shipped') NOT NULL")""",
    expected="CM602",
)

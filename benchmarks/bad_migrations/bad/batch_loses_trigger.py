"""A trigger goes with the table that batch mode rebuilds."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/PerpetualSoftware/pad/pull/264",
    schema="""
        CREATE TABLE orders (id integer PRIMARY KEY, total text);
        CREATE TABLE audit (order_id integer);
        CREATE TRIGGER orders_audit AFTER INSERT ON orders BEGIN
            INSERT INTO audit VALUES (new.id);
          END;
    """,
    rows="INSERT INTO orders VALUES (1, '10'), (2, '20');",
    upgrade="""
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("total", type_=sa.String(20))
    """,
    downgrade="""
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("total", type_=sa.Text())
    """,
    expected="CM210",
)

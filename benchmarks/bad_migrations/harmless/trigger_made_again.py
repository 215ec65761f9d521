"""A trigger goes with the rebuilt table, and the revision makes it again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE orders (id integer PRIMARY KEY, total text);
        CREATE TABLE audit (order_id integer);
        CREATE TRIGGER orders_audit AFTER INSERT ON orders BEGIN INSERT INTO audit VALUES (new.id); END;
    """,
    rows="INSERT INTO orders VALUES (1, '10');",
    upgrade="""
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("total", type_=sa.String(20))
        op.execute("CREATE TRIGGER orders_audit AFTER INSERT ON orders BEGIN INSERT INTO audit VALUES (new.id); END")
    """,
    downgrade="""
        with op.batch_alter_table("orders") as batch:
            batch.alter_column("total", type_=sa.Text())
        op.execute("CREATE TRIGGER orders_audit AFTER INSERT ON orders BEGIN INSERT INTO audit VALUES (new.id); END")
    """,
)

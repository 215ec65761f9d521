"""A foreign key is NOT VALID, and will be validated in the next release."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE templates (id integer PRIMARY KEY);
        CREATE TABLE notifications (id integer PRIMARY KEY, template_id integer);
    """,
    rows="""
        INSERT INTO templates SELECT i FROM generate_series(1, 20) i;
        INSERT INTO notifications SELECT i, i + 0 FROM generate_series(1, 20) i;
    """,
    upgrade="""
        op.create_foreign_key(
            "fk_template", "notifications", "templates", ["template_id"], ["id"], postgresql_not_valid=True
        )
    """,
    downgrade='op.drop_constraint("fk_template", "notifications")',
)

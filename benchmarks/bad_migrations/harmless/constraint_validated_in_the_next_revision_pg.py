"""A foreign key is NOT VALID in one revision, and validated in the next."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='checks = { CM209 = "error" }',
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
    files={
        "migrations/versions/r2.py": """
            from alembic import op

            revision = "r2"
            down_revision = "r1"


            def upgrade():
                op.execute("ALTER TABLE notifications VALIDATE CONSTRAINT fk_template")


            def downgrade():
                pass
        """
    },
)

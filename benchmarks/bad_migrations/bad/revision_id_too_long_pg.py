"""A revision id of 33 characters does not fit into alembic_version."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/MuftahFree/AGENTerprise-OS/issues/721",
    schema="CREATE TABLE suggestion (id integer PRIMARY KEY);",
    rows="INSERT INTO suggestion VALUES (1);",
    upgrade='op.add_column("suggestion", sa.Column("status", sa.Text))',
    downgrade='op.drop_column("suggestion", "status")',
    files={
        "migrations/versions/r2.py": """
            revision = "061_optimization_suggestion_status"
            down_revision = "r1"

            def upgrade():
                pass

            def downgrade():
                pass
        """
    },
    expected="value too long",
)

"""Two branches were merged, and the history has two heads."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/thunderbird/appointment/issues/110",
    schema="CREATE TABLE slots (id integer PRIMARY KEY);",
    rows="INSERT INTO slots VALUES (1);",
    upgrade='op.add_column("slots", sa.Column("short_link_hash", sa.Text))',
    files={
        "migrations/versions/r2.py": """
            import sqlalchemy as sa
            from alembic import op

            revision = "r2"
            down_revision = "r0"

            def upgrade():
                op.add_column("slots", sa.Column("availability", sa.Text))

            def downgrade():
                op.drop_column("slots", "availability")
        """
    },
    expected="CM101",
)

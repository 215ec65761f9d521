"""A released revision is edited; where it ran already, the new line never runs."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/lablup/backend.ai/issues/13725",
    schema="CREATE TABLE sessions (id integer PRIMARY KEY);",
    rows="INSERT INTO sessions VALUES (1);",
    upgrade='op.create_table("idle_checkers", sa.Column("id", sa.Integer, primary_key=True))',
    downgrade='op.drop_table("idle_checkers")',
    then={
        "migrations/versions/r1.py": """
            import sqlalchemy as sa
            from alembic import op

            revision = "r1"
            down_revision = "r0"

            def upgrade():
                op.create_table("idle_checkers", sa.Column("id", sa.Integer, primary_key=True),
                                sa.Column("target_session_types", sa.Text))

            def downgrade():
                op.drop_table("idle_checkers")
        """,
        "migrations/versions/r2.py": """
            import sqlalchemy as sa
            from alembic import op

            revision = "r2"
            down_revision = "r1"

            def upgrade():
                op.add_column("sessions", sa.Column("kind", sa.Text))

            def downgrade():
                op.drop_column("sessions", "kind")
        """,
    },
    expected="CM102",
)

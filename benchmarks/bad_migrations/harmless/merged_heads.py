"""Two branches and the revision that merges them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE slots (id integer PRIMARY KEY);",
    rows="INSERT INTO slots VALUES (1);",
    upgrade='op.add_column("slots", sa.Column("a", sa.Text))',
    downgrade='op.drop_column("slots", "a")',
    files={
        "migrations/versions/r2.py": """
            import sqlalchemy as sa
            from alembic import op

            revision = "r2"
            down_revision = "r0"

            def upgrade():
                op.add_column("slots", sa.Column("b", sa.Text))

            def downgrade():
                op.drop_column("slots", "b")
        """,
        "migrations/versions/r3.py": """
            revision = "r3"
            down_revision = ("r1", "r2")

            def upgrade():
                pass

            def downgrade():
                pass
        """,
    },
)

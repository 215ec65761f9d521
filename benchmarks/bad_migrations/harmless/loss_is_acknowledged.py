"""A column with values is dropped, and the revision says why."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, old_hash text);",
    rows="INSERT INTO users VALUES (1, 'x');",
    files={
        "migrations/versions/r1.py": """
            import sqlalchemy as sa
            from alembic import op

            revision = "r1"
            down_revision = "r0"
            ci_migrate = {"allow": {"CM202": "hashes of the retired algorithm"}}

            def upgrade():
                op.drop_column("users", "old_hash")

            def downgrade():
                op.add_column("users", sa.Column("old_hash", sa.Text))
        """
    },
)

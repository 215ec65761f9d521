"""Expired sessions are deleted, and the revision says so."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE sessions (id integer PRIMARY KEY, expired integer NOT NULL);",
    rows="INSERT INTO sessions VALUES (1, 0), (2, 1), (3, 1);",
    files={
        "migrations/versions/r1.py": """
            from alembic import op

            revision = "r1"
            down_revision = "r0"
            ci_migrate = {"allow": {"CM601": "expired sessions"}}

            def upgrade():
                op.execute("DELETE FROM sessions WHERE expired = 1")

            def downgrade():
                pass
        """
    },
)

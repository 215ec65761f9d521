"""A revision whose down_revision is in no file."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/open-ace/open-ace/issues/1180",
    schema="CREATE TABLE charts (id integer PRIMARY KEY);",
    rows="INSERT INTO charts VALUES (1);",
    upgrade='op.add_column("charts", sa.Column("uuid", sa.Text))',
    files={
        "migrations/versions/r2.py": """
            revision = "r2"
            down_revision = "317970b4400c"

            def upgrade():
                pass

            def downgrade():
                pass
        """
    },
    expected="317970b4400c",
)

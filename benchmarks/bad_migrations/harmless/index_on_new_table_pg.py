"""A new table with its index."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE users (id integer PRIMARY KEY);",
    rows="INSERT INTO users VALUES (1);",
    upgrade="""
        op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text, index=True))
    """,
    downgrade='op.drop_table("notes")',
)

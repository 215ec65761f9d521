"""A table without rows is dropped."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE users (id integer PRIMARY KEY);
        CREATE TABLE never_used (id integer PRIMARY KEY);
    """,
    rows="INSERT INTO users VALUES (1);",
    upgrade='op.drop_table("never_used")',
    downgrade='op.create_table("never_used", sa.Column("id", sa.Integer, primary_key=True))',
)

"""A new table with its rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY);",
    rows="INSERT INTO users VALUES (1);",
    upgrade="""
        roles = op.create_table("roles", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
        op.bulk_insert(roles, [{"id": 1, "name": "admin"}, {"id": 2, "name": "guest"}])
    """,
    downgrade='op.drop_table("roles")',
)

"""Values move into a table of their own."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, street text);",
    rows="INSERT INTO users VALUES (1, 'x'), (2, 'y');",
    upgrade="""
        op.create_table("addresses", sa.Column("user_id", sa.Integer, primary_key=True), sa.Column("street", sa.Text))
        op.execute("INSERT INTO addresses SELECT id, street FROM users")
        op.drop_column("users", "street")
    """,
    downgrade="""
        op.add_column("users", sa.Column("street", sa.Text))
        op.execute("UPDATE users SET street = (SELECT street FROM addresses WHERE user_id = users.id)")
        op.drop_table("addresses")
    """,
)

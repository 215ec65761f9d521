"""A column is dropped after its values were moved."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="CREATE TABLE users (id integer PRIMARY KEY, mail text);",
    rows="INSERT INTO users VALUES (1, 'a@b'), (2, 'c@d');",
    upgrade="""
        op.add_column("users", sa.Column("email", sa.Text))
        op.execute("UPDATE users SET email = mail")
        op.drop_column("users", "mail")
    """,
    downgrade="""
        op.add_column("users", sa.Column("mail", sa.Text))
        op.execute("UPDATE users SET mail = email")
        op.drop_column("users", "email")
    """,
)

"""An upgrade drops the table with all users."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/AlchemyCMS/alchemy_cms/issues/440",
    schema="CREATE TABLE alchemy_users (id integer PRIMARY KEY, login text);",
    rows="INSERT INTO alchemy_users VALUES (1, 'robin'), (2, 'tvd');",
    upgrade='op.drop_table("alchemy_users")',
    downgrade="""
        op.create_table("alchemy_users", sa.Column("id", sa.Integer, primary_key=True), sa.Column("login", sa.Text))
    """,
    expected="CM201",
)

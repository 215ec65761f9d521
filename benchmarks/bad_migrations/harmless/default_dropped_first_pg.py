"""integer to boolean: the default goes first and comes again as a boolean."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE nodes (id integer PRIMARY KEY, favorite integer NOT NULL DEFAULT 0);",
    rows="INSERT INTO nodes SELECT i, i % 2 FROM generate_series(1, 9) i;",
    upgrade="""
        op.alter_column("nodes", "favorite", server_default=None)
        op.alter_column("nodes", "favorite", type_=sa.Boolean(), postgresql_using="favorite <> 0")
        op.alter_column("nodes", "favorite", server_default=sa.false())
    """,
    downgrade="""
        op.alter_column("nodes", "favorite", server_default=None)
        op.alter_column("nodes", "favorite", type_=sa.Integer(), postgresql_using="favorite::integer")
        op.alter_column("nodes", "favorite", server_default="0")
    """,
)

"""A UNIQUE over three columns is made again over the two that stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE members (id integer PRIMARY KEY, org integer, email text, region text,
            CONSTRAINT one_per_org UNIQUE (org, email, region));
    """,
    rows="INSERT INTO members SELECT i, i % 3, 'm' || i, NULL FROM generate_series(1, 12) i;",
    upgrade="""
        op.drop_column("members", "region")
        op.create_unique_constraint("one_per_org", "members", ["org", "email"])
    """,
    downgrade="""
        op.drop_constraint("one_per_org", "members")
        op.add_column("members", sa.Column("region", sa.Text()))
        op.create_unique_constraint("one_per_org", "members", ["org", "email", "region"])
    """,
)

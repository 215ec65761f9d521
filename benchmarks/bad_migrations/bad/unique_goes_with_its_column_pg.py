"""A UNIQUE over three columns goes with one of them, and duplicates may come."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/flipstone/orville/issues/141",
    schema="""
        CREATE TABLE members (id integer PRIMARY KEY, org integer, email text, region text,
            CONSTRAINT one_per_org UNIQUE (org, email, region));
    """,
    rows="INSERT INTO members SELECT i, i % 3, 'm' || i, NULL FROM generate_series(1, 12) i;",
    upgrade='op.drop_column("members", "region")',
    downgrade="""
        op.add_column("members", sa.Column("region", sa.Text()))
        op.create_unique_constraint("one_per_org", "members", ["org", "email", "region"])
    """,
    expected="CM210",
)

"""The downgrade takes the new column away, and nothing else."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    settings="require-downgrade = true",
    schema="CREATE TABLE gateways (id text NOT NULL PRIMARY KEY, name text NOT NULL);",
    rows="INSERT INTO gateways VALUES ('a', 'one'), ('b', 'two');",
    upgrade="""
        op.add_column("gateways", sa.Column("slug", sa.Text()))
        op.execute("UPDATE gateways SET slug = name")
    """,
    downgrade='op.drop_column("gateways", "slug")',
)

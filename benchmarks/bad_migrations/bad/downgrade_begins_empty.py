"""The downgrade drops the table and makes it again, without its rows."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/IBM/mcp-context-forge/issues/4429",
    settings="require-downgrade = true",
    schema="CREATE TABLE gateways (id text NOT NULL PRIMARY KEY, name text NOT NULL);",
    rows="INSERT INTO gateways VALUES ('a', 'one'), ('b', 'two');",
    upgrade="""
        op.add_column("gateways", sa.Column("slug", sa.Text()))
        op.execute("UPDATE gateways SET slug = name")
    """,
    downgrade="""
        op.drop_table("gateways")
        op.execute("CREATE TABLE gateways (id text NOT NULL PRIMARY KEY, name text NOT NULL)")
    """,
    expected="CM402",
)

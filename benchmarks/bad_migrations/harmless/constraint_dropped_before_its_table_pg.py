"""A constraint is dropped by name, then the table that it points to."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE releases (id integer PRIMARY KEY, name text);
        CREATE TABLE issues (id integer PRIMARY KEY,
            release_id integer CONSTRAINT issues_release REFERENCES releases (id));
    """,
    rows="INSERT INTO issues SELECT i, NULL FROM generate_series(1, 9) i;",
    upgrade="""
        op.drop_constraint("issues_release", "issues")
        op.drop_table("releases")
        op.drop_column("issues", "release_id")
    """,
    downgrade="""
        op.add_column("issues", sa.Column("release_id", sa.Integer()))
        op.create_table("releases", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("name",
                        sa.Text()))
        op.create_foreign_key("issues_release", "issues", "releases", ["release_id"], ["id"])
    """,
)

"""DROP TABLE ... CASCADE, then the constraint that went with it is dropped by name."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Niach/exponential/pull/57",
    schema="""
        CREATE TABLE releases (id integer PRIMARY KEY, name text);
        CREATE TABLE issues (id integer PRIMARY KEY,
            release_id integer CONSTRAINT issues_release REFERENCES releases (id));
    """,
    rows="INSERT INTO issues SELECT i, NULL FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP TABLE releases CASCADE")
        op.drop_constraint("issues_release", "issues")
        op.drop_column("issues", "release_id")
    """,
    expected="does not exist",
)

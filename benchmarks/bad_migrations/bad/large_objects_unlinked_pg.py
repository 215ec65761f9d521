"""Large objects that no column of type oid names are unlinked as orphans; a bigint names them."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/cms-dev/cms/issues/975",
    schema="CREATE TABLE files (id integer PRIMARY KEY, loid bigint);",
    rows="""
        INSERT INTO files SELECT i, lo_from_bytea(0, 'abc') FROM generate_series(1, 5) i;
    """,
    upgrade='op.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")',
    expected="CM204",
)

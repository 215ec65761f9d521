"""A large object is copied, and the old one unlinked."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE files (id integer PRIMARY KEY, loid oid);",
    rows="INSERT INTO files VALUES (1, lo_from_bytea(0, 'abc'));",
    upgrade="""
        op.execute("CREATE TEMPORARY TABLE old AS SELECT loid FROM files")
        op.execute("UPDATE files SET loid = lo_from_bytea(0, lo_get(loid))")
        op.execute("SELECT lo_unlink(loid) FROM old")
    """,
)

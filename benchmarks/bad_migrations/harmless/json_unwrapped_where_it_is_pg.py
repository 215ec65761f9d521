"""What a document holds takes its place, where it is there."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE versions (id integer PRIMARY KEY, version jsonb NOT NULL);",
    rows="""
        INSERT INTO versions SELECT i, jsonb_build_object(CASE WHEN i % 4 = 0 THEN 'tag' ELSE 'ref' END,
            i) FROM generate_series(1, 12) i;
    """,
    upgrade="""
        op.execute("UPDATE versions SET version = coalesce(version -> 'ref', version)")
    """,
)

"""timestamp becomes timestamptz, and the revision says in which zone the values are."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="CREATE TABLE events (id integer PRIMARY KEY, created_at timestamp NOT NULL);",
    rows="""
        INSERT INTO events SELECT i, timestamp '2017-04-16 01:07:15' + i * interval '1 hour' FROM
            generate_series(1, 12) i;
    """,
    upgrade="""
        op.alter_column("events", "created_at", type_=sa.DateTime(timezone=True),
                        postgresql_using="created_at AT TIME ZONE 'UTC'")
    """,
    downgrade="""
        op.execute("ALTER TABLE events ALTER created_at TYPE timestamp USING created_at AT TIME ZONE 'UTC'")
    """,
)

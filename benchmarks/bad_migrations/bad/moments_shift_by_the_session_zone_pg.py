"""timestamp becomes timestamptz in a session whose zone is not the one of the values."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/fossasia/open-event-server/issues/3739",
    settings="checks = { CM206 = 'error' }",
    schema="CREATE TABLE events (id integer PRIMARY KEY, created_at timestamp NOT NULL);",
    rows="""
        INSERT INTO events SELECT i, timestamp '2017-04-16 01:07:15' + i * interval '1 hour' FROM
            generate_series(1, 12) i;
    """,
    upgrade="""
        op.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
        op.alter_column("events", "created_at", type_=sa.DateTime(timezone=True))
    """,
    downgrade="""
        op.execute(
            "ALTER TABLE events ALTER created_at TYPE timestamp USING created_at AT TIME ZONE "
            "'Asia/Kolkata'"
        )
    """,
    expected="CM206",
)

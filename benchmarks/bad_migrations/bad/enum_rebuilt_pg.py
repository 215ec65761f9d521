"""One more value of an enum, by a new type that every row is cast to."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/Pogchamp-company/alembic-postgresql-enum/issues/133",
    settings='lock-budget = "20ms"',
    schema="""
        CREATE TYPE status AS ENUM ('open', 'done');
        CREATE TABLE jobs (id integer PRIMARY KEY, status status NOT NULL, note text);
    """,
    rows="INSERT INTO jobs SELECT i, 'open', repeat('x', 100) FROM generate_series(1, 60000) i;",
    upgrade="""
        op.execute("ALTER TYPE status RENAME TO status_old")
        op.execute("CREATE TYPE status AS ENUM ('open', 'done', 'failed')")
        op.execute("ALTER TABLE jobs ALTER COLUMN status TYPE status USING status::text::status")
        op.execute("DROP TYPE status_old")
    """,
    expected="CM30",
)

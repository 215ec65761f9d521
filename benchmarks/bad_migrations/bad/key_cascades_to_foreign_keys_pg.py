"""A primary key is dropped with CASCADE: foreign keys of other tables go with it."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/harvard-growth-lab/pandas-to-postgres/issues/7",
    schema="""
        CREATE TABLE countries (id integer CONSTRAINT countries_pkey PRIMARY KEY, code text NOT NULL UNIQUE);
        CREATE TABLE trades (id integer PRIMARY KEY,
            country_id integer CONSTRAINT trades_country REFERENCES countries (id));
    """,
    rows="""
        INSERT INTO countries SELECT i, 'c' || i FROM generate_series(1, 5) i;
        INSERT INTO trades SELECT i, 1 + i % 5 FROM generate_series(1, 9) i;
    """,
    upgrade="""
        op.execute("ALTER TABLE countries DROP CONSTRAINT countries_pkey CASCADE")
        op.execute("ALTER TABLE countries ADD CONSTRAINT countries_pkey PRIMARY KEY (id)")
    """,
    expected="CM210",
)

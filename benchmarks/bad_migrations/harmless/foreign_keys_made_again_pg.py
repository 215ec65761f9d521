"""A foreign key is dropped and made again around the key that it points to."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
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
        op.drop_constraint("trades_country", "trades")
        op.execute("ALTER TABLE countries DROP CONSTRAINT countries_pkey")
        op.execute("ALTER TABLE countries ADD CONSTRAINT countries_pkey PRIMARY KEY (id)")
        op.create_foreign_key("trades_country", "trades", "countries", ["country_id"], ["id"])
    """,
)

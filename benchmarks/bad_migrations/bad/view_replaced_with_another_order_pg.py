"""CREATE OR REPLACE VIEW with a column in the middle."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/rommapp/romm/issues/2938",
    schema="""
        CREATE TABLE games (id integer PRIMARY KEY, genres text, released date, players integer);
        CREATE VIEW games_metadata AS SELECT id, genres, released FROM games;
    """,
    rows="INSERT INTO games SELECT i, 'g', NULL, i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("CREATE OR REPLACE VIEW games_metadata AS SELECT id, genres, players, released FROM games")
    """,
    expected="cannot change name of view column",
)

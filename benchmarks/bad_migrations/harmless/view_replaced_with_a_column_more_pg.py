"""CREATE OR REPLACE VIEW with a column at its end."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE games (id integer PRIMARY KEY, genres text, released date, players integer);
        CREATE VIEW games_metadata AS SELECT id, genres, released FROM games;
    """,
    rows="INSERT INTO games SELECT i, 'g', NULL, i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("CREATE OR REPLACE VIEW games_metadata AS SELECT id, genres, released, players FROM games")
    """,
    downgrade="""
        op.execute("DROP VIEW games_metadata")
        op.execute("CREATE VIEW games_metadata AS SELECT id, genres, released FROM games")
    """,
)

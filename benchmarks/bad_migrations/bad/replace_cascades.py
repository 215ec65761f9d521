"""INSERT OR REPLACE deletes the old row first, and ON DELETE CASCADE its children."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/danielcopper/romm-tender/pull/888",
    schema="""
        CREATE TABLE roms (id integer NOT NULL PRIMARY KEY, name text NOT NULL);
        CREATE TABLE saves (id integer NOT NULL PRIMARY KEY,
            rom_id integer NOT NULL REFERENCES roms (id) ON DELETE CASCADE, state text);
    """,
    rows="""
        INSERT INTO roms VALUES (1, 'tetris'), (2, 'chess');
        INSERT INTO saves VALUES (1, 1, 'level 9'), (2, 2, 'mate in 3');
    """,
    upgrade="""
        op.execute("INSERT OR REPLACE INTO roms (id, name) VALUES (1, 'Tetris'), (3, 'Pong')")
    """,
    expected="CM601",
)

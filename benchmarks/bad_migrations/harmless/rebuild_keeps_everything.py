"""Batch mode rebuilds a table with children, foreign keys switched off first."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE torrents (id integer PRIMARY KEY, title text);
        CREATE TABLE tags (id integer PRIMARY KEY, torrent_id integer REFERENCES torrents (id) ON DELETE CASCADE);
        CREATE INDEX ix_title ON torrents (title);
    """,
    rows="""
        INSERT INTO torrents VALUES (1, 'a'), (2, 'b');
        INSERT INTO tags VALUES (1, 1), (2, 2);
    """,
    upgrade="""
        with op.get_context().autocommit_block():
            op.execute("PRAGMA foreign_keys = OFF")
        with op.batch_alter_table("torrents", recreate="always") as batch:
            batch.alter_column("title", type_=sa.String(200))
    """,
    downgrade="""
        with op.get_context().autocommit_block():
            op.execute("PRAGMA foreign_keys = OFF")
        with op.batch_alter_table("torrents", recreate="always") as batch:
            batch.alter_column("title", type_=sa.Text())
    """,
)

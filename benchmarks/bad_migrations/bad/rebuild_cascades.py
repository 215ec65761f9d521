"""A table is rebuilt with foreign keys on: DROP TABLE deletes the rows of its children."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/torrust/torrust-index/issues/526",
    schema="""
        CREATE TABLE torrents (id integer PRIMARY KEY, title text);
        CREATE TABLE torrent_tags (
            id integer PRIMARY KEY,
            torrent_id integer NOT NULL REFERENCES torrents (id) ON DELETE CASCADE
        );
    """,
    rows="""
        INSERT INTO torrents VALUES (1, 'a'), (2, 'b');
        INSERT INTO torrent_tags VALUES (1, 1), (2, 1), (3, 2);
    """,
    upgrade="""
        with op.batch_alter_table("torrents", recreate="always") as batch:
            batch.alter_column("title", type_=sa.String(200))
    """,
    downgrade="""
        with op.batch_alter_table("torrents", recreate="always") as batch:
            batch.alter_column("title", type_=sa.Text())
    """,
    expected="CM601",
)

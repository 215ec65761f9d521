"""INSERT OR IGNORE fills the new table: what does not fit is not there."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/soundcloud/lhm/pull/115",
    schema="CREATE TABLE tags (id integer NOT NULL PRIMARY KEY, name text NOT NULL, color text);",
    rows="INSERT INTO tags VALUES (1, 'Red', 'f00'), (2, 'red', 'e00'), (3, 'blue', '00f');",
    upgrade="""
        op.execute(
            "CREATE TABLE tags_new (id integer NOT NULL PRIMARY KEY, name text COLLATE NOCASE NOT NULL "
            "UNIQUE, color text)"
        )
        op.execute("INSERT OR IGNORE INTO tags_new SELECT id, name, color FROM tags")
        op.execute("DROP TABLE tags")
        op.execute("ALTER TABLE tags_new RENAME TO tags")
    """,
    expected="CM601",
)

"""The type of a column that a generated column reads."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/iflytek/skillhub/pull/119",
    schema="""
        CREATE TABLE skills (id integer PRIMARY KEY, title varchar(50), search tsvector GENERATED
            ALWAYS AS (to_tsvector('simple', coalesce(title, ''))) STORED);
    """,
    rows="INSERT INTO skills (id, title) SELECT i, 's' || i FROM generate_series(1, 9) i;",
    upgrade='op.alter_column("skills", "title", type_=sa.Text())',
    expected="generated column",
)

"""A generated column goes before the type of what it reads changes, and is made again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE skills (id integer PRIMARY KEY, title varchar(50), search tsvector GENERATED
            ALWAYS AS (to_tsvector('simple', coalesce(title, ''))) STORED);
    """,
    rows="INSERT INTO skills (id, title) SELECT i, 's' || i FROM generate_series(1, 9) i;",
    upgrade="""
        op.drop_column("skills", "search")
        op.alter_column("skills", "title", type_=sa.Text())
        op.execute(
            "ALTER TABLE skills ADD search tsvector GENERATED ALWAYS AS (to_tsvector('simple', "
            "coalesce(title, ''))) STORED"
        )
    """,
    downgrade="""
        op.drop_column("skills", "search")
        op.alter_column("skills", "title", type_=sa.String(50))
        op.execute(
            "ALTER TABLE skills ADD search tsvector GENERATED ALWAYS AS (to_tsvector('simple', "
            "coalesce(title, ''))) STORED"
        )
    """,
)

"""COLLATE NOCASE is lost in a rebuild: Ada and ada are two accounts now."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/typeorm/typeorm/issues/11907",
    schema="""
        CREATE TABLE users (id integer NOT NULL PRIMARY KEY, email text COLLATE NOCASE NOT NULL UNIQUE,
            note text);
    """,
    rows="INSERT INTO users VALUES (1, 'Ada@example.com', NULL), (2, 'bob@example.com', 'x');",
    upgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("note", type_=sa.String(200))
    """,
    downgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("note", type_=sa.Text())
    """,
    expected="CM210",
)

"""Batch mode rebuilds a table, and the revision repeats COLLATE NOCASE."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE users (id integer NOT NULL PRIMARY KEY, email text COLLATE NOCASE NOT NULL UNIQUE,
            note text);
    """,
    rows="INSERT INTO users VALUES (1, 'Ada@example.com', NULL), (2, 'bob@example.com', 'x');",
    upgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("note", type_=sa.String(200))
            batch.alter_column("email", type_=sa.Text(collation="NOCASE"))
    """,
    downgrade="""
        with op.batch_alter_table("users") as batch:
            batch.alter_column("note", type_=sa.Text())
            batch.alter_column("email", type_=sa.Text(collation="NOCASE"))
    """,
)

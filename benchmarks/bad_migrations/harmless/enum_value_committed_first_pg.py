"""A new value of an enum is committed, then used."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TYPE kind AS ENUM ('USER', 'GROUP');
        CREATE TABLE principals (id integer PRIMARY KEY, kind kind NOT NULL);
    """,
    rows="INSERT INTO principals VALUES (1, 'USER'), (2, 'GROUP');",
    upgrade="""
        with op.get_context().autocommit_block():
            op.execute("ALTER TYPE kind ADD VALUE IF NOT EXISTS 'SYSTEM'")
        op.execute("UPDATE principals SET kind = 'SYSTEM' WHERE id = 1")
    """,
)

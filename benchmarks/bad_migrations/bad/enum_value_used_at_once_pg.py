"""A new value of an enum is used before it is committed."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/gpustack/gpustack/issues/5676",
    schema="""
        CREATE TYPE principaltype AS ENUM ('USER', 'GROUP');
        CREATE TABLE principals (id integer PRIMARY KEY, kind principaltype NOT NULL, is_system boolean NOT NULL);
    """,
    rows="INSERT INTO principals SELECT i, 'USER', i = 1 FROM generate_series(1, 10) i;",
    upgrade="""
        op.execute("ALTER TYPE principaltype ADD VALUE 'SYSTEM'")
        op.execute("UPDATE principals SET kind = 'SYSTEM' WHERE is_system")
    """,
    expected="unsafe use of new value",
)

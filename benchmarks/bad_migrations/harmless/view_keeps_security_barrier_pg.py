"""A view is dropped and made again, with its security_barrier."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE steps (id integer PRIMARY KEY, owner text, kind text);
        CREATE VIEW my_steps WITH (security_barrier = true) AS SELECT id, kind FROM steps WHERE
            owner = current_user;
    """,
    rows="INSERT INTO steps SELECT i, 'o', 'k' FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP VIEW my_steps")
        op.alter_column("steps", "kind", type_=sa.String(50))
        op.execute(
            "CREATE VIEW my_steps WITH (security_barrier = true) AS SELECT id, kind FROM steps WHERE "
            "owner = current_user"
        )
    """,
    downgrade="""
        op.execute("DROP VIEW my_steps")
        op.alter_column("steps", "kind", type_=sa.Text())
        op.execute(
            "CREATE VIEW my_steps WITH (security_barrier = true) AS SELECT id, kind FROM steps WHERE "
            "owner = current_user"
        )
    """,
)

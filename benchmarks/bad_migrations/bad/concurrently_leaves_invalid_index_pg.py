"""CREATE UNIQUE INDEX CONCURRENTLY fails and leaves an invalid index behind."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/strelov1/freehire/pull/2365",
    schema="CREATE TABLE threads (id integer PRIMARY KEY, slug text NOT NULL);",
    rows="INSERT INTO threads SELECT i, 's' || i % 30 FROM generate_series(1, 40) i;",
    upgrade="""
        op.add_column("threads", sa.Column("opened", sa.DateTime))
        with op.get_context().autocommit_block():
            op.create_index("threads_slug", "threads", ["slug"], unique=True, postgresql_concurrently=True)
    """,
    downgrade="""
        op.drop_index("threads_slug", "threads")
        op.drop_column("threads", "opened")
    """,
    expected="could not create unique index",
)

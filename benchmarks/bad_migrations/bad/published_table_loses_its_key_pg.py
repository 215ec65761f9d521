"""A table that is replicated loses its primary key, and nobody can delete from it any more."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/cowprotocol/services/pull/3461",
    schema="""
        CREATE TABLE order_events (id integer NOT NULL, label text, CONSTRAINT order_events_pkey PRIMARY KEY (id));
        CREATE PUBLICATION feed FOR TABLE order_events;
    """,
    rows="INSERT INTO order_events SELECT i, 'created' FROM generate_series(1, 50) i;",
    upgrade='op.drop_constraint("order_events_pkey", "order_events")',
    downgrade='op.create_primary_key("order_events_pkey", "order_events", ["id"])',
    expected="CM207",
)

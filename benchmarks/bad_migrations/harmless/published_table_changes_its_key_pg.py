"""A table that is replicated gets another primary key."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE order_events (id integer NOT NULL, label text, CONSTRAINT order_events_pkey PRIMARY KEY (id));
        CREATE PUBLICATION feed FOR TABLE order_events;
    """,
    rows="INSERT INTO order_events SELECT i, 'created' FROM generate_series(1, 50) i;",
    upgrade="""
        op.drop_constraint("order_events_pkey", "order_events")
        op.create_primary_key("order_events_pkey", "order_events", ["id", "label"])
    """,
    downgrade="""
        op.drop_constraint("order_events_pkey", "order_events")
        op.alter_column("order_events", "label", nullable=True)
        op.create_primary_key("order_events_pkey", "order_events", ["id"])
    """,
)

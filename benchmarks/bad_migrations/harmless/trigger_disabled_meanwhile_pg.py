"""A trigger is disabled while rows are filled, and enabled again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE items (id integer PRIMARY KEY, price integer, changed integer DEFAULT 0);
        CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.changed := 1; RETURN NEW; END $$;
        CREATE TRIGGER items_change BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note_change();
    """,
    rows="INSERT INTO items SELECT i, i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("ALTER TABLE items DISABLE TRIGGER items_change")
        op.execute("UPDATE items SET price = price + 1")
        op.execute("ALTER TABLE items ENABLE TRIGGER items_change")
    """,
    downgrade='op.execute("UPDATE items SET price = price - 1")',
)

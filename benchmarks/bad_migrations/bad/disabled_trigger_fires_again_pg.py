"""A trigger that was disabled is made again, and fires."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/djrobstep/migra/issues/172",
    schema="""
        CREATE TABLE items (id integer PRIMARY KEY, price integer, changed integer DEFAULT 0);
        CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.changed := 1; RETURN NEW; END $$;
        CREATE TRIGGER items_change BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note_change();
        ALTER TABLE items DISABLE TRIGGER items_change;
    """,
    rows="INSERT INTO items SELECT i, i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP TRIGGER items_change ON items")
        op.execute(
            "CREATE TRIGGER items_change BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION "
            "note_change()"
        )
    """,
    expected="CM210",
)

"""DROP FUNCTION ... CASCADE takes the triggers along, and the new function has none."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/djrobstep/migra/issues/65",
    schema="""
        CREATE TABLE items (id integer PRIMARY KEY, price integer, changed integer DEFAULT 0);
        CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.changed := 1; RETURN NEW; END $$;
        CREATE TRIGGER items_change BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note_change();
    """,
    rows="INSERT INTO items SELECT i, i FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP FUNCTION note_change() CASCADE")
        op.execute(
            "CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := "
            "2; RETURN NEW; END $$"
        )
    """,
    expected="CM210",
)

"""CREATE OR REPLACE FUNCTION leaves the triggers there."""

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
        op.execute(
            "CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.changed := 2; RETURN NEW; END $$"
        )
    """,
    downgrade="""
        op.execute(
            "CREATE OR REPLACE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.changed := 1; RETURN NEW; END $$"
        )
    """,
)

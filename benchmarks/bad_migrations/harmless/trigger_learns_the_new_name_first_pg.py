"""The trigger's function learns a column's new name before rows are changed."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE links (id integer PRIMARY KEY, organization_id integer, kind text);
        CREATE FUNCTION note_link() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF OLD.organization_id = 0 THEN RAISE 'none'; END IF; RETURN NEW; END $$;
        CREATE TRIGGER links_note BEFORE UPDATE ON links FOR EACH ROW EXECUTE FUNCTION note_link();
    """,
    rows="INSERT INTO links SELECT i, i, 'organization' FROM generate_series(1, 9) i;",
    upgrade="""
        op.alter_column("links", "organization_id", new_column_name="company_id")
        op.execute(
            "CREATE OR REPLACE FUNCTION note_link() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF "
            "OLD.company_id = 0 THEN RAISE 'none'; END IF; RETURN NEW; END $$"
        )
        op.execute("UPDATE links SET kind = 'company'")
    """,
)

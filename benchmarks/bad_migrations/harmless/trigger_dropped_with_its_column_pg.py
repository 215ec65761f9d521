"""A column is dropped with the trigger that sets it."""

from benchmarks.bad_migrations.case import SMOKE, Case

CASE = Case(
    engine="postgresql",
    settings="previous-release = ['{python}', 'smoke.py']",
    schema="""
        CREATE TABLE posts (id integer PRIMARY KEY, body text, updated_at timestamp);
        CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            NEW.updated_at := now(); RETURN NEW; END $$;
        CREATE TRIGGER posts_stamp BEFORE UPDATE ON posts FOR EACH ROW EXECUTE FUNCTION stamp();
    """,
    rows="INSERT INTO posts SELECT i, 'b', NULL FROM generate_series(1, 9) i;",
    upgrade="""
        op.execute("DROP TRIGGER posts_stamp ON posts")
        op.drop_column("posts", "updated_at")
    """,
    downgrade="""
        op.add_column("posts", sa.Column("updated_at", sa.DateTime()))
        op.execute("CREATE TRIGGER posts_stamp BEFORE UPDATE ON posts FOR EACH ROW EXECUTE FUNCTION stamp()")
    """,
    files={"smoke.py": SMOKE.format(query="UPDATE posts SET body = 'c' WHERE id = 1 RETURNING id")},
)

"""A foreign key is dropped, and the revision says which."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE parents (id integer PRIMARY KEY);
        CREATE TABLE children (id integer PRIMARY KEY, parent_id integer CONSTRAINT fk_parent REFERENCES parents (id));
    """,
    rows="""
        INSERT INTO parents VALUES (1);
        INSERT INTO children VALUES (1, 1);
    """,
    upgrade='op.drop_constraint("fk_parent", "children", type_="foreignkey")',
    downgrade='op.create_foreign_key("fk_parent", "children", "parents", ["parent_id"], ["id"])',
)

"""Foreign key NOT VALID, validated afterwards."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    schema="""
        CREATE TABLE parents (id integer PRIMARY KEY);
        CREATE TABLE children (id integer PRIMARY KEY, parent_id integer);
    """,
    rows="""
        INSERT INTO parents SELECT i FROM generate_series(1, 20) i;
        INSERT INTO children SELECT i, i FROM generate_series(1, 20) i;
    """,
    upgrade="""
        op.create_foreign_key("fk_parent", "children", "parents", ["parent_id"], ["id"], postgresql_not_valid=True)
        with op.get_context().autocommit_block():
            op.execute("ALTER TABLE children VALIDATE CONSTRAINT fk_parent")
    """,
    downgrade='op.drop_constraint("fk_parent", "children")',
)

"""A table is made again under another name and takes the old one's: its children stay."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE operations (id integer NOT NULL PRIMARY KEY, name text);
        CREATE TABLE variables (id integer NOT NULL PRIMARY KEY, operation integer REFERENCES operations (id));
    """,
    rows="""
        INSERT INTO operations VALUES (1, 'add'), (2, 'mul');
        INSERT INTO variables VALUES (1, 1), (2, 2);
    """,
    upgrade="""
        with op.get_context().autocommit_block():
            op.execute("PRAGMA foreign_keys = OFF")
        op.execute("CREATE TABLE operations_new (id integer NOT NULL PRIMARY KEY, name varchar(80))")
        op.execute("INSERT INTO operations_new SELECT id, name FROM operations")
        op.execute("DROP TABLE operations")
        op.execute("ALTER TABLE operations_new RENAME TO operations")
    """,
)

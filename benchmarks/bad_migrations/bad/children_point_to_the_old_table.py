"""A table is renamed away and made again, and its children point to the one that is gone."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/cpc/openasip/issues/212",
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
        op.execute("ALTER TABLE operations RENAME TO operations_old")
        op.execute("CREATE TABLE operations (id integer NOT NULL PRIMARY KEY, name varchar(80))")
        op.execute("INSERT INTO operations SELECT id, name FROM operations_old")
        op.execute("DROP TABLE operations_old")
    """,
    expected="refer to rows that are gone",
)

"""CREATE TABLE ... LIKE copies a table without its foreign keys."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/phpmyadmin/phpmyadmin/issues/17513",
    schema="""
        CREATE TABLE people (id integer PRIMARY KEY, name varchar(20));
        CREATE TABLE lists (id integer PRIMARY KEY, person_id integer,
            CONSTRAINT lists_person FOREIGN KEY (person_id) REFERENCES people (id));
    """,
    rows="""
        INSERT INTO people VALUES (1, 'a'), (2, 'b');
        INSERT INTO lists VALUES (1, 1), (2, 2);
    """,
    upgrade="""
        op.execute("CREATE TABLE lists_new LIKE lists")
        op.execute("INSERT INTO lists_new SELECT * FROM lists")
        op.execute("DROP TABLE lists")
        op.execute("RENAME TABLE lists_new TO lists")
    """,
    expected="CM210",
)

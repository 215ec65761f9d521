"""Tables are swapped by RENAME, and foreign keys still point to the old one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/freels/table_migrator/issues/9",
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
        op.execute("CREATE TABLE people_new (id integer PRIMARY KEY, name varchar(80))")
        op.execute("INSERT INTO people_new SELECT id, name FROM people")
        op.execute("RENAME TABLE people TO people_old, people_new TO people")
    """,
    expected="CM210",
)

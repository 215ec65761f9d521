"""CREATE TABLE ... LIKE, and the foreign key is made again."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
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
        op.create_foreign_key("lists_person", "lists", "people", ["person_id"], ["id"])
    """,
)

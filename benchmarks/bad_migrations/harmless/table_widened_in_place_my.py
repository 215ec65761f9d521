"""A column of a table with children gets longer where it is."""

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
        op.alter_column("people", "name", type_=sa.String(80), existing_type=sa.String(20),
                        existing_nullable=True)
    """,
    downgrade="""
        op.alter_column("people", "name", type_=sa.String(20), existing_type=sa.String(80),
                        existing_nullable=True)
    """,
)

"""INSERT ... ON DUPLICATE KEY UPDATE leaves the children there."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE worlds (id integer PRIMARY KEY, name varchar(20));
        CREATE TABLE leaves (id integer PRIMARY KEY, world_id integer NOT NULL,
            FOREIGN KEY (world_id) REFERENCES worlds (id) ON DELETE CASCADE);
    """,
    rows="""
        INSERT INTO worlds VALUES (1, 'a'), (2, 'b');
        INSERT INTO leaves VALUES (1, 1), (2, 2);
    """,
    upgrade="""
        op.execute(
            "INSERT INTO worlds (id, name) VALUES (1, 'A'), (3, 'C') ON DUPLICATE KEY UPDATE name = "
            "VALUES(name)"
        )
    """,
)

"""An index is dropped that a foreign key needs."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/miguelgrinberg/Flask-Migrate/issues/13",
    schema="""
        CREATE TABLE user (id integer PRIMARY KEY);
        CREATE TABLE post (id integer PRIMARY KEY, user_id integer, KEY user_id (user_id),
            FOREIGN KEY (user_id) REFERENCES user (id));
    """,
    rows="""
        INSERT INTO user VALUES (1);
        INSERT INTO post VALUES (1, 1);
    """,
    upgrade='op.drop_index("user_id", "post")',
    downgrade='op.create_index("user_id", "post", ["user_id"])',
    expected="needed in a foreign key constraint",
)

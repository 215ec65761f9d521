"""The index goes after its foreign key."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE user (id integer PRIMARY KEY);
        CREATE TABLE post (id integer PRIMARY KEY, user_id integer, KEY ix_user (user_id),
            CONSTRAINT fk_user FOREIGN KEY (user_id) REFERENCES user (id));
    """,
    rows="""
        INSERT INTO user VALUES (1);
        INSERT INTO post VALUES (1, 1);
    """,
    upgrade="""
        op.drop_constraint("fk_user", "post", type_="foreignkey")
        op.drop_index("ix_user", "post")
    """,
    downgrade="""
        op.create_index("ix_user", "post", ["user_id"])
        op.create_foreign_key("fk_user", "post", "user", ["user_id"], ["id"])
    """,
)

"""A primary key over more bytes than the engine has for a key."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/xtrinch/fcm-django/issues/170",
    schema="CREATE TABLE fcm_device (token varchar(1000) CHARACTER SET utf8mb4 NOT NULL);",
    rows="INSERT INTO fcm_device VALUES ('a');",
    upgrade="""
        op.add_column("fcm_device", sa.Column("name", sa.String(20)))
        op.create_primary_key("pk", "fcm_device", ["token"])
    """,
    downgrade="""
        op.execute("ALTER TABLE fcm_device DROP PRIMARY KEY")
        op.drop_column("fcm_device", "name")
    """,
    expected="key was too long",
)

"""MODIFY for NOT NULL that repeats the default and the comment."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    schema="""
        CREATE TABLE entities (id integer PRIMARY KEY,
            flag varchar(5) NULL DEFAULT 'on' COMMENT 'as users set it');
    """,
    rows="INSERT INTO entities VALUES (1, 'on'), (2, 'off');",
    upgrade="""
        op.alter_column("entities", "flag", existing_type=sa.String(5), nullable=False,
                        existing_server_default="on", existing_comment="as users set it")
    """,
    downgrade="""
        op.execute("ALTER TABLE entities MODIFY flag varchar(5) NULL DEFAULT 'on' COMMENT 'as users set it'")
    """,
)

"""MODIFY for NOT NULL alone drops the default and the comment."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/mikro-orm/mikro-orm/issues/2407",
    schema="""
        CREATE TABLE entities (id integer PRIMARY KEY,
            flag varchar(5) NULL DEFAULT 'on' COMMENT 'as users set it');
    """,
    rows="INSERT INTO entities VALUES (1, 'on'), (2, 'off');",
    upgrade='op.alter_column("entities", "flag", existing_type=sa.String(5), nullable=False)',
    downgrade="""
        op.execute("ALTER TABLE entities MODIFY flag varchar(5) NULL DEFAULT 'on' COMMENT 'as users set it'")
    """,
    expected="CM210",
)

"""Rows and the table are changed in one transaction, with a deferred constraint between."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/aiidateam/aiida-core/issues/4590",
    schema="""
        CREATE TABLE db_dbuser (id integer PRIMARY KEY);
        CREATE TABLE db_dbgroup (
            id integer PRIMARY KEY,
            user_id integer REFERENCES db_dbuser (id) DEFERRABLE INITIALLY DEFERRED
        );
    """,
    rows="""
        INSERT INTO db_dbuser VALUES (1), (2);
        INSERT INTO db_dbgroup VALUES (1, 1), (2, 1);
    """,
    upgrade="""
        op.execute("UPDATE db_dbgroup SET user_id = 2")
        op.add_column("db_dbgroup", sa.Column("extras", sa.JSON))
    """,
    downgrade='op.drop_column("db_dbgroup", "extras")',
    expected="pending trigger events",
)

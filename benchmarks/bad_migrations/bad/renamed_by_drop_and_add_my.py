"""Autogenerate takes a renamed column for one dropped and one added."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/miguelgrinberg/Flask-Migrate/issues/563",
    schema="CREATE TABLE settings (id integer PRIMARY KEY, some varchar(255));",
    rows="INSERT INTO settings VALUES (1, 'a'), (2, 'b');",
    upgrade="""
        op.add_column("settings", sa.Column("some_key", sa.String(255)))
        op.drop_column("settings", "some")
    """,
    downgrade="""
        op.add_column("settings", sa.Column("some", sa.String(255)))
        op.drop_column("settings", "some_key")
    """,
    expected="CM202",
)

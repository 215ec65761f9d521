"""DROP COLUMN ... CASCADE takes a view along that nobody named."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/django/django/pull/18066",
    schema="""
        CREATE TABLE people (id integer PRIMARY KEY, name text, legacy_code text);
        CREATE VIEW report AS SELECT id, name, legacy_code FROM people;
    """,
    rows="INSERT INTO people SELECT i, 'p' || i, NULL FROM generate_series(1, 10) i;",
    upgrade='op.execute("ALTER TABLE people DROP COLUMN legacy_code CASCADE")',
    downgrade="""
        op.add_column("people", sa.Column("legacy_code", sa.Text))
        op.execute("CREATE VIEW report AS SELECT id, name, legacy_code FROM people")
    """,
    expected="CM210",
)

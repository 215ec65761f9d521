"""Two hundred rows are filled one by one."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    settings='lock-budget = "20ms"\nchecks = { CM304 = "error" }',
    schema="CREATE TABLE people (id integer PRIMARY KEY, name text NOT NULL, slug text);",
    rows="INSERT INTO people SELECT i, 'Person ' || i FROM generate_series(1, 200) i;",
    upgrade="""
        connection = op.get_bind()
        for id, name in connection.execute(sa.text("SELECT id, name FROM people ORDER BY id")).all():
            connection.execute(
                sa.text("UPDATE people SET slug = :slug WHERE id = :id"), {"slug": name.lower(), "id": id}
            )
    """,
)

"""One UPDATE of all rows, while others write to them: they wait, and some of them for too long."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/y-scope/clp/issues/2358",
    settings='lock-budget = "20ms"\nchecks = { CM304 = "error" }',
    schema="CREATE TABLE objects (id integer PRIMARY KEY AUTO_INCREMENT, state varchar(20) NOT NULL);",
    rows="""
        INSERT INTO objects (state) VALUES ('new'), ('new'), ('new'), ('new'), ('new'), ('new'), ('new'), ('new');
        INSERT INTO objects (state) SELECT a.state FROM objects a, objects b, objects c, objects d, objects e;
    """,
    upgrade="""op.execute("UPDATE objects SET state = 'buffered'")""",
    expected="CM304",
)

"""All rows are changed in batches, each with a commit of its own."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    settings='lock-budget = "500ms"\nchecks = { CM304 = "error" }',
    schema="CREATE TABLE objects (id integer PRIMARY KEY AUTO_INCREMENT, state varchar(20) NOT NULL);",
    rows="""
        INSERT INTO objects (state) VALUES ('new'), ('new'), ('new'), ('new'), ('new'), ('new'), ('new'), ('new');
        INSERT INTO objects (state) SELECT a.state FROM objects a, objects b, objects c, objects d;
    """,
    upgrade="""
        with op.get_context().autocommit_block():
            (last,) = op.get_bind().execute(sa.text("SELECT max(id) FROM objects")).one()
            for first in range(0, last + 1, 500):
                op.execute(f"UPDATE objects SET state = 'buffered' WHERE id BETWEEN {first} AND {first + 499}")
    """,
)

"""Words are cast to numbers: all become 0."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/hashview/hashview/pull/341",
    settings="""
        [[assertions]]
        name = "attack modes stay different ones"
        query = "select count(distinct hc_attackmode) from tasks"
        expect = 3
        when = "both"
    """,
    schema="CREATE TABLE tasks (id integer PRIMARY KEY, hc_attackmode text);",
    rows="INSERT INTO tasks VALUES (1, 'dictionary'), (2, 'maskmode'), (3, 'bruteforce');",
    upgrade="""
        with op.batch_alter_table("tasks") as batch:
            batch.alter_column("hc_attackmode", type_=sa.Integer())
    """,
    downgrade="""
        with op.batch_alter_table("tasks") as batch:
            batch.alter_column("hc_attackmode", type_=sa.Text())
    """,
    expected="CM604",
)

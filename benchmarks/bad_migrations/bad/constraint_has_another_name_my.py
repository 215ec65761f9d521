"""A constraint is dropped by the name that it has on the developer's machine."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/apache/airflow/issues/18939",
    schema="CREATE TABLE dag_run (id integer PRIMARY KEY, dag varchar(20), UNIQUE KEY uq_dag_run_1 (dag));",
    rows="INSERT INTO dag_run VALUES (1, 'a');",
    upgrade="""
        op.add_column("dag_run", sa.Column("queued_at", sa.DateTime))
        op.drop_constraint("dag_id", "dag_run", type_="unique")
    """,
    downgrade="pass",
    expected="Can't DROP",
)

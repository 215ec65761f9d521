"""A column's values are moved into a table that has rows, without the empty ones."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    schema="""
        CREATE TABLE deployments (id integer PRIMARY KEY, schedule varchar(20));
        CREATE TABLE schedules (id integer PRIMARY KEY, deployment integer, rule varchar(20));
    """,
    rows="""
        INSERT INTO deployments VALUES (1, 'daily'), (2, 'null'), (3, 'daily'), (4, 'weekly'), (5, NULL);
        INSERT INTO schedules VALUES (100, 5, 'daily'), (101, 5, 'hourly');
    """,
    upgrade="""
        op.execute(
            "INSERT INTO schedules SELECT id, id, schedule FROM deployments "
            "WHERE schedule IS NOT NULL AND schedule <> 'null'"
        )
        op.drop_column("deployments", "schedule")
    """,
    downgrade="""
        op.add_column("deployments", sa.Column("schedule", sa.String(20)))
        op.execute(
            "UPDATE deployments SET schedule = (SELECT rule FROM schedules WHERE schedules.id = deployments.id)"
        )
        op.execute("DELETE FROM schedules WHERE id < 100")
    """,
)

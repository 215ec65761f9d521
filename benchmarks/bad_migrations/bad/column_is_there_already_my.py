"""The schema has drifted: the column that a revision adds is there."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/fleetdm/fleet/issues/50486",
    schema="CREATE TABLE software_categories (id integer PRIMARY KEY, name varchar(60));",
    rows="""
        INSERT INTO software_categories VALUES (1, 'Browsers');
        ALTER TABLE software_categories ADD COLUMN team_id integer;
    """,
    upgrade="""
        op.execute("UPDATE software_categories SET name = 'renamed'")
        op.add_column("software_categories", sa.Column("team_id", sa.Integer))
    """,
    downgrade='op.drop_column("software_categories", "team_id")',
    expected="Duplicate column name",
)

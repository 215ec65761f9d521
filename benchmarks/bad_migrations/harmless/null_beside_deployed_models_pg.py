"""A column may be NULL from now on, and the running release knows what to do with it."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="postgresql",
    settings=DEPLOYED + '\nchecks = { CM706 = "error" }',
    schema="CREATE TABLE broadcasts (id integer PRIMARY KEY, message text NOT NULL);",
    rows="INSERT INTO broadcasts VALUES (1, 'a'), (2, 'b');",
    upgrade='op.alter_column("broadcasts", "message", nullable=True)',
    downgrade='op.alter_column("broadcasts", "message", nullable=False)',
    files={
        "deployed/models.py": MODELS.format(
            table="broadcasts",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("message", sa.Text, nullable=True)',
        )
    },
)

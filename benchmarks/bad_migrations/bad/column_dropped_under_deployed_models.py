"""A column is dropped that nothing reads any more, and that the models of the running release still have."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/HHS/simpler-grants-gov/pull/7425",
    settings=DEPLOYED,
    schema="CREATE TABLE opportunity (id integer PRIMARY KEY, title text, revision_number integer);",
    rows="INSERT INTO opportunity (title) VALUES ('a'), ('b');",
    upgrade='op.drop_column("opportunity", "revision_number")',
    downgrade='op.add_column("opportunity", sa.Column("revision_number", sa.Integer))',
    files={
        "deployed/models.py": MODELS.format(
            table="opportunity",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text), '
            'sa.Column("revision_number", sa.Integer)',
        )
    },
    expected="CM701",
)

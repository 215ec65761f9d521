"""A column with a default is added while a release runs that does not know it."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="sqlite",
    settings=DEPLOYED,
    schema="CREATE TABLE opportunity (id integer PRIMARY KEY, title text);",
    rows="INSERT INTO opportunity (title) VALUES ('a'), ('b');",
    upgrade="""
        op.add_column("opportunity", sa.Column("revision", sa.Integer, nullable=False, server_default="0"))
    """,
    downgrade='op.drop_column("opportunity", "revision")',
    files={
        "deployed/models.py": MODELS.format(
            table="opportunity",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text)',
        )
    },
)

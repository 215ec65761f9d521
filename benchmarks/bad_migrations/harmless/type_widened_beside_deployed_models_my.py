"""A number gets more room and a text too, which the running release does not notice."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="mariadb",
    settings=DEPLOYED,
    schema="CREATE TABLE devices (id integer PRIMARY KEY, calls integer, name varchar(20));",
    rows="INSERT INTO devices VALUES (1, 5, 'a');",
    upgrade="""
        op.alter_column("devices", "calls", existing_type=sa.Integer(), type_=sa.BigInteger())
        op.alter_column("devices", "name", existing_type=sa.String(20), type_=sa.Text())
    """,
    downgrade="""
        op.alter_column("devices", "name", existing_type=sa.Text(), type_=sa.String(20))
        op.alter_column("devices", "calls", existing_type=sa.BigInteger(), type_=sa.Integer())
    """,
    files={
        "deployed/models.py": MODELS.format(
            table="devices",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("calls", sa.Integer), '
            'sa.Column("name", sa.String(20))',
        )
    },
)

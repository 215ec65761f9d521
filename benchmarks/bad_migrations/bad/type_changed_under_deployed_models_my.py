"""A column of texts becomes one of bytes while the running release writes texts."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/mozilla/fxa-auth-db-mysql/issues/135",
    settings=DEPLOYED,
    schema="CREATE TABLE devices (id integer PRIMARY KEY, callback_key varchar(88));",
    rows="INSERT INTO devices VALUES (1, REPEAT('ab', 32));",
    upgrade='op.execute("ALTER TABLE devices MODIFY callback_key varbinary(88)")',
    downgrade='op.execute("ALTER TABLE devices MODIFY callback_key varchar(88)")',
    files={
        "deployed/models.py": MODELS.format(
            table="devices",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("callback_key", sa.String(88))',
        )
    },
    expected="CM703",
)

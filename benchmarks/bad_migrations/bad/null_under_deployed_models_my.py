"""A column may be NULL from now on, and the running release takes it for NOT NULL."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="mariadb",
    source="https://github.com/BEDOLAGA-DEV/remnawave-bedolaga-telegram-bot/issues/3151",
    settings=DEPLOYED + '\nchecks = { CM706 = "error" }',
    schema="CREATE TABLE broadcasts (id integer PRIMARY KEY, message varchar(80) NOT NULL);",
    rows="INSERT INTO broadcasts VALUES (1, 'a'), (2, 'b');",
    upgrade='op.execute("ALTER TABLE broadcasts MODIFY message varchar(80) NULL")',
    downgrade='op.execute("ALTER TABLE broadcasts MODIFY message varchar(80) NOT NULL")',
    files={
        "deployed/models.py": MODELS.format(
            table="broadcasts",
            columns='sa.Column("id", sa.Integer, primary_key=True), '
            'sa.Column("message", sa.String(80), nullable=False)',
        )
    },
    expected="CM706",
)

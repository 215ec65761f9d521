"""A column may be NULL from now on, and the running release takes it for NOT NULL."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/BEDOLAGA-DEV/remnawave-bedolaga-telegram-bot/issues/3151",
    settings=DEPLOYED + '\nchecks = { CM706 = "error" }',
    schema="CREATE TABLE broadcasts (id integer PRIMARY KEY, message text NOT NULL);",
    rows="INSERT INTO broadcasts VALUES (1, 'a'), (2, 'b');",
    upgrade='op.alter_column("broadcasts", "message", nullable=True)',
    downgrade='op.alter_column("broadcasts", "message", nullable=False)',
    files={
        "deployed/models.py": MODELS.format(
            table="broadcasts",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("message", sa.Text, nullable=False)',
        )
    },
    expected="CM706",
)

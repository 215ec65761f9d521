"""A column becomes NOT NULL in the release that first sets it; the running one still sends NULL."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/ls1intum/Artemis/pull/13681",
    settings=DEPLOYED,
    schema="CREATE TABLE course (id integer PRIMARY KEY, title text NOT NULL, start_date timestamp);",
    rows="INSERT INTO course VALUES (1, 'a', '2026-01-01'), (2, 'b', NULL);",
    upgrade="""
        op.execute("UPDATE course SET start_date = '2020-01-01' WHERE start_date IS NULL")
        op.alter_column("course", "start_date", nullable=False)
    """,
    downgrade='op.alter_column("course", "start_date", nullable=True)',
    files={
        "deployed/models.py": MODELS.format(
            table="course",
            columns='sa.Column("id", sa.Integer, primary_key=True), sa.Column("title", sa.Text, nullable=False), '
            'sa.Column("start_date", sa.DateTime)',
        )
    },
    expected="CM702",
)

"""A value of an enum gets another name, and the running release still writes the old one."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/langgenius/dify/pull/38271",
    settings=DEPLOYED,
    schema="""
        CREATE TYPE end_user_type AS ENUM ('browser', 'service_api');
        CREATE TABLE end_users (id integer PRIMARY KEY, kind end_user_type NOT NULL);
    """,
    rows="INSERT INTO end_users VALUES (1, 'browser'), (2, 'service_api');",
    upgrade="ALTER TYPE end_user_type RENAME VALUE 'service_api' TO 'service-api'",
    downgrade="ALTER TYPE end_user_type RENAME VALUE 'service-api' TO 'service_api'",
    files={
        "deployed/models.py": MODELS.format(
            table="end_users",
            columns='sa.Column("id", sa.Integer, primary_key=True), '
            'sa.Column("kind", sa.Enum("browser", "service_api", name="end_user_type"), nullable=False)',
        )
    },
    expected="CM703",
)

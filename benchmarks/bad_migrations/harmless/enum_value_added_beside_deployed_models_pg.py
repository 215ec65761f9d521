"""An enum gets one more value while a release runs that does not know it."""

from benchmarks.bad_migrations.case import DEPLOYED, MODELS, Case

CASE = Case(
    engine="postgresql",
    settings=DEPLOYED,
    schema="""
        CREATE TYPE end_user_type AS ENUM ('browser', 'service_api');
        CREATE TABLE end_users (id integer PRIMARY KEY, kind end_user_type NOT NULL);
    """,
    rows="INSERT INTO end_users VALUES (1, 'browser'), (2, 'service_api');",
    upgrade="ALTER TYPE end_user_type ADD VALUE 'mobile'",
    files={
        "deployed/models.py": MODELS.format(
            table="end_users",
            columns='sa.Column("id", sa.Integer, primary_key=True), '
            'sa.Column("kind", sa.Enum("browser", "service_api", name="end_user_type"), nullable=False)',
        )
    },
)

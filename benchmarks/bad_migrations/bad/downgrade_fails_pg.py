"""The downgrade makes its enum twice and fails, always."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/lablup/backend.ai/issues/12886",
    settings="require-downgrade = true",
    schema="""
        CREATE TYPE scope_type AS ENUM ('DOMAIN', 'USER');
        CREATE TABLE app_configs (id integer PRIMARY KEY, scope_type scope_type NOT NULL);
    """,
    upgrade="""
        op.drop_table("app_configs")
        op.execute("DROP TYPE scope_type")
    """,
    downgrade="""
        scope = sa.Enum("DOMAIN", "USER", name="scope_type")
        op.execute("CREATE TYPE scope_type AS ENUM ('DOMAIN', 'USER')")
        op.execute("CREATE TYPE scope_type AS ENUM ('DOMAIN', 'USER')")
        op.create_table("app_configs", sa.Column("id", sa.Integer, primary_key=True), sa.Column("scope_type", scope))
    """,
    expected="CM402",
)

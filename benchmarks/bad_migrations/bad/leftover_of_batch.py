"""The temporary table of an earlier failure stands in the way of batch mode."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/IBM/mcp-context-forge/issues/3420",
    schema="CREATE TABLE email_api_tokens (id integer PRIMARY KEY, team text);",
    rows="""
        INSERT INTO email_api_tokens VALUES (1, 'a');
        CREATE TABLE _alembic_tmp_email_api_tokens (id integer PRIMARY KEY, team text);
    """,
    upgrade="""
        with op.batch_alter_table("email_api_tokens", recreate="always") as batch:
            batch.create_unique_constraint("uq_team", ["team"])
    """,
    downgrade="""
        with op.batch_alter_table("email_api_tokens") as batch:
            batch.drop_constraint("uq_team", type_="unique")
    """,
    expected="_alembic_tmp_email_api_tokens already exists",
)

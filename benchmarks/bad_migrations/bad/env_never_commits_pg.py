"""env.py opens a transaction of its own that nobody commits: exit 0, and nothing happened."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="postgresql",
    source="https://github.com/fabriziosalmi/nis2-public/pull/167",
    schema="CREATE TABLE api_keys (id integer PRIMARY KEY);",
    rows="INSERT INTO api_keys VALUES (1);",
    upgrade='op.add_column("api_keys", sa.Column("key_hash", sa.Text))',
    downgrade='op.drop_column("api_keys", "key_hash")',
    files={
        "migrations/env.py": """
            import os
            from alembic import context
            from sqlalchemy import create_engine, pool, text

            engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
            with engine.connect() as connection:
                connection.execute(text("SET application_name = 'migrations'"))
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
        """
    },
    expected="env.py ended without an error, but",
)

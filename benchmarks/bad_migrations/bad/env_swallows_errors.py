"""env.py catches the error, the application starts on the old schema."""

from benchmarks.bad_migrations.case import Case

CASE = Case(
    engine="sqlite",
    source="https://github.com/open-webui/open-webui/issues/24253",
    schema="CREATE TABLE chat (id integer PRIMARY KEY, title text);",
    rows="INSERT INTO chat VALUES (1, 'a'), (2, NULL);",
    upgrade="""
        op.create_table("chat_message", sa.Column("id", sa.Integer, primary_key=True))
        op.execute("INSERT INTO chat_message (id, title) SELECT id, title FROM chat")
    """,
    downgrade='op.drop_table("chat_message")',
    files={
        "migrations/env.py": """
            import os
            from alembic import context
            from sqlalchemy import create_engine, pool

            engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
            with engine.connect() as connection:
                context.configure(connection=connection)
                try:
                    with context.begin_transaction():
                        context.run_migrations()
                except Exception as error:
                    print("migrations failed:", error)
        """
    },
    expected="env.py ended without an error, but",
)

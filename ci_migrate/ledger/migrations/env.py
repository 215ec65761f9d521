"""The ledger's own Alembic environment: run in process, on a connection given to it, never by itself."""

from alembic import context

from ci_migrate.ledger.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()

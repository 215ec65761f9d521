"""One line for env.py: plain Alembic is refused against a database that `ci-migrate protect` has marked.

```python
from ci_migrate.guard import refuse_plain_alembic

with engine.connect() as connection:
    refuse_plain_alembic(connection)
    context.configure(connection=connection, ...)
```

A run of ci-migrate is not asked: in its child the function does nothing, also where the project's own interpreter has
no ci-migrate (`migrations.worker.main`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

READING = (
    "display_version",
    "show_current",
    "_display_current_history",
    "retrieve_migrations",
    "edit_current",
    "nothing",
)
"""What `alembic.command` calls where it only looks: for current, heads, history -i, check, revision, edit, merge."""

_VIEW = "SELECT 1 FROM information_schema.views WHERE table_schema = DATABASE() AND table_name = 'ci_migrate_mark'"
MARKED = {
    "postgresql": "SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"
    " AND pg_catalog.shobj_description(d.oid, 'pg_database') ~ '(^|\\n)ci-migrate: '",
    "mysql": _VIEW,
    "mariadb": _VIEW,
    "sqlite": "SELECT 1 FROM main.sqlite_master WHERE type = 'view' AND name = 'ci_migrate_mark'",
}
"""What finds the mark of `databases.*.mark`, without anything of ours that an application would have to import."""


def refuse_plain_alembic(connection: "Connection") -> None:
    """Refuse `alembic upgrade`, `downgrade` and `stamp`, and whatever else may write, on a database that is marked.

    Args:
        connection: SQLAlchemy's, as env.py migrates by it; no transaction is left open on it. With an async engine:
            the one that run_sync gives.

    Raises:
        alembic.util.CommandError: the database is marked as protected; nothing was changed.
    """
    if not _is_marked(connection):
        return
    name = _command()
    if name in READING:
        return
    from alembic.util import CommandError

    what = {"do_stamp": "stamp"}.get(name, name) or "what is called here"
    raise CommandError(
        f"{connection.engine.url.render_as_string(hide_password=True)} is protected by ci-migrate: "
        f"plain Alembic ({what}) is refused, nothing was changed. Use: ci-migrate run"
    )


def _is_marked(connection: "Connection") -> bool:
    query = MARKED.get(connection.dialect.name)
    if query is None:
        return False
    was_open = connection.in_transaction()
    try:
        return connection.exec_driver_sql(query).first() is not None
    finally:
        # env.py's own begin would else find a transaction that is not its own, and never commit it
        if not was_open and connection.in_transaction():
            connection.rollback()


def _command() -> str:
    """The name of the function that Alembic was asked for, "" where it does not say: then it is refused."""
    from alembic import context

    proxy: Any = getattr(context, "_proxy", None)  # no public name leads to it
    return str(getattr(getattr(proxy, "context_opts", {}).get("fn"), "__name__", ""))

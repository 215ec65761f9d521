"""The engines: one file each behind the contract of `base`."""

from collections.abc import Sequence

from sqlalchemy import URL

from ci_migrate.databases.base import Database, DatabaseFactory, SessionOptions
from ci_migrate.markers import hookimpl


def _sqlite(url: URL, options: SessionOptions) -> Database:
    from ci_migrate.databases.sqlite.database import SQLite

    return SQLite(
        url,
        application_name=options.application_name,
        lock_timeout=options.lock_timeout,
        compare_budget=options.compare_budget,
    )


def _postgresql(url: URL, options: SessionOptions) -> Database:
    from ci_migrate.databases.postgresql.database import PostgreSQL

    return PostgreSQL(
        url,
        application_name=options.application_name,
        client_tools=options.client_tools,
        lock_timeout=options.lock_timeout,
        statement_timeout=options.statement_timeout,
        jobs=options.jobs,
        compare_budget=options.compare_budget,
    )


def _mysql(url: URL, options: SessionOptions) -> Database:
    from ci_migrate.databases.mysql.database import MySQL

    return MySQL(
        url,
        application_name=options.application_name,
        client_tools=options.client_tools,
        lock_timeout=options.lock_timeout,
        compare_budget=options.compare_budget,
    )


BUILT_IN = (
    DatabaseFactory(backends=("sqlite",), make=_sqlite),
    DatabaseFactory(backends=("postgresql",), make=_postgresql),
    DatabaseFactory(backends=("mysql", "mariadb"), make=_mysql),
)


@hookimpl
def ci_migrate_databases() -> Sequence[DatabaseFactory]:
    """The built-in engines."""
    return BUILT_IN

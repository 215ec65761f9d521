"""What the process has imported that forks the workers of a fleet run. Nothing else imports this."""

import importlib
from contextlib import suppress

from ci_migrate.process import hide_memory

NEEDED = (
    "ci_migrate.fleet.worker",
    "ci_migrate.databases.mysql.database",
    "ci_migrate.databases.postgresql.database",
    "ci_migrate.databases.sqlite.database",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "psycopg",
    "pymysql",
    "tomllib",
    "encodings.idna",
)
"""What each worker would import itself, in the middle of its work."""

for name in NEEDED:
    with suppress(ImportError):  # a driver that is not installed
        importlib.import_module(name)

hide_memory()

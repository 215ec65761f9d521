"""What the process has imported that forks the workers of a fleet run. Nothing else imports this."""

import importlib
from contextlib import suppress

from ci_migrate.process import hide_memory

for name in ("ci_migrate.fleet.worker", "psycopg", "pymysql"):
    with suppress(ImportError):  # a driver that is not installed
        importlib.import_module(name)

hide_memory()

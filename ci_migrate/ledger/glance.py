"""One quick look into the ledgers of thousands of databases: is there a run that did not end?"""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL

from ci_migrate.ledger.ledger import open_ledger
from ci_migrate.ledger.place import ledger_url
from ci_migrate.model import Identity

UNFINISHED = """
SELECT run_id FROM ci_migrate_runs
WHERE needs_repair OR (finished IS NULL AND phase IN ('migrating', 'repairing'))
ORDER BY sequence DESC LIMIT 1
"""
"""As `queries.unfinished`, of all databases that a ledger beside one knows; a test holds the two together."""


def find_unfinished(target: URL, identity: Identity | None) -> str:
    """The run that must be repaired before the next one, by the ledger beside a target; "" where there is none.

    `identity` as the server tells it; it may be None for a file.

    Raises:
        LedgerError: the ledger can't be read.
    """
    url = ledger_url(target, None)
    if url.get_backend_name() == "sqlite":
        file = Path(str(url.database))
        if not file.exists():
            return ""
        # an engine, its version and a transaction take ten milliseconds, which is too much ten thousand times
        with suppress(sqlite3.Error), closing(_open(file)) as connection:
            row = connection.execute(UNFINISHED).fetchone()
            return str(row[0]) if row else ""
    ledger = open_ledger(url, create=False)
    if ledger is None:
        return ""
    with ledger:
        found = ledger.unfinished(ledger.database_id(identity))
        return found.run_id if found is not None else ""


def _open(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=1.0)

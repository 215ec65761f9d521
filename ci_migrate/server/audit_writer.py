"""Writes each call into the audit trail of its target's ledger, many in one transaction."""

import logging
import queue
import threading
import time
from typing import Any, NamedTuple

from ci_migrate.errors import CiMigrateError
from ci_migrate.ledger import audit
from ci_migrate.ledger.ledger import Ledger

BATCH = 500
GATHER = 0.2
"""Seconds in which more calls may come: a transaction is flushed to the disk, whether it holds one or many."""

log = logging.getLogger("ci_migrate.server")


class Call(NamedTuple):
    """One call. `facts` hold no token: neither the query nor the body is among them."""

    ledger: Ledger
    facts: dict[str, Any]


class Auditor:
    """A thread of its own, so that reading stays quick while a migration writes to the same ledger.

    What changes something is written down before it starts, by whoever starts it; this tells how calls ended.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="auditor", daemon=True)
        self._thread.start()

    def tell(self, call: Call) -> None:
        """Write a call down, soon."""
        self._calls.put(call)

    def close(self) -> None:
        """Write what is left, and end."""
        self._calls.put(None)
        self._thread.join()

    def _write_batches(self) -> None:
        ended = False
        while not ended:
            batch = [self._calls.get()]
            if batch != [None]:
                time.sleep(GATHER)
            while len(batch) < BATCH and not self._calls.empty():
                batch.append(self._calls.get())
            ended = None in batch
            calls = [call for call in batch if call is not None]
            for ledger in {id(call.ledger): call.ledger for call in calls}.values():
                self._write(ledger, [call.facts for call in calls if call.ledger is ledger])

    def _write(self, ledger: Ledger, calls: list[dict[str, Any]]) -> None:
        try:
            with ledger.writing() as connection:
                audit.append_all(connection, "http", None, calls)
        except CiMigrateError as error:
            log.error("Not in the audit trail: %s %s", error.what, calls)  # noqa: TRY400 - its words are enough
        except Exception:  # this thread is the only one that writes: it must not end before the service
            log.exception("Not in the audit trail: %s", calls)

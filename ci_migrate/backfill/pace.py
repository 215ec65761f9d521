"""How large a batch is, and what holds the next one up."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from .connection import Commits
from .problems import BackfillError

SQLITE_REST = 0.1
"""Seconds. Who waits for SQLite's lock looks again after up to 100 ms: in a shorter pause nobody gets it."""

MAX_PAUSE = 30.0
"""Seconds between two tries of a batch, before chance makes them more or less by half."""


@dataclass
class Pace:
    """How large the next batch is, and how long to rest after it."""

    wanted: float
    size: int
    most: int
    rest: float
    tries: int
    least_rest: float = 0.0
    failures: int = 0

    def after(self, seconds: float) -> float:
        """A batch took as long; returns the seconds to rest. The size at most doubles, or halves."""
        self.failures = 0
        factor = min(2.0, max(0.5, self.wanted / max(seconds, 0.001)))
        self.size = max(1, min(self.most, round(self.size * factor)))
        return max(self.least_rest, seconds * self.rest) if self.rest else 0.0

    def after_failure(self) -> float | None:
        """A batch was taken back; returns the seconds to wait, None where it was tried often enough."""
        self.failures += 1
        self.size = max(1, self.size // 2)
        if self.failures >= self.tries:
            return None
        return min(MAX_PAUSE, 2.0 ** (self.failures - 1)) * random.uniform(0.5, 1.5)


class Brakes:
    """Says why to wait. In a dry run nobody waits: what is measured there is the rate itself."""

    def __init__(
        self,
        commits: Commits,
        max_replica_lag: float | None,
        max_lock_waits: int | None,
        throttle: Callable[[Connection], bool] | None,
    ) -> None:
        self.commits = commits
        self.lag = max_replica_lag
        self.waits = max_lock_waits
        self.throttle = throttle
        self.off = os.environ.get("CI_MIGRATE_STAGE") == "dry-run"
        if max_replica_lag is not None and commits.dialect.name != "postgresql":
            raise BackfillError(
                f"{commits.dialect.name} does not tell on the primary how late its replicas are. Ask a replica "
                "yourself: throttle=lambda connection: ..."
            )
        if max_lock_waits is not None and commits.dialect.name == "sqlite":
            raise BackfillError("SQLite does not tell who waits for a lock: leave out max_lock_waits.")

    def why(self) -> str:
        """In words; "" for go on. No transaction is open afterwards."""
        if self.off:
            return ""
        try:
            return self._late() or self._crowded() or self._told()
        finally:
            self.commits.rollback()

    def _late(self) -> str:
        if self.lag is None:
            return ""
        sql = (
            "SELECT count(*), count(r.state), coalesce(max(extract(epoch FROM r.replay_lag)), 0)"
            " FROM pg_catalog.pg_stat_replication r"
        )
        replicas, seen, late = self.commits.execute(sql).one()
        if seen < replicas:
            raise BackfillError("This role may not see how late replicas are: GRANT pg_monitor TO it.")
        return f"a replica is {float(late):.1f} s late" if late > self.lag else ""

    def _crowded(self) -> str:
        if self.waits is None:
            return ""
        sql = "SELECT count(*) FROM information_schema.innodb_trx t WHERE t.trx_state = 'LOCK WAIT'"
        if self.commits.dialect.name == "postgresql":
            sql = "SELECT count(*) FROM pg_catalog.pg_locks l WHERE NOT l.granted"
        waiting = int(self.commits.execute(sql).scalar())
        return f"{waiting} sessions wait for a lock" if waiting > self.waits else ""

    def _told(self) -> str:
        wait = self.throttle is not None and self.throttle(self.commits.connection)
        return "throttle says so" if wait else ""

"""The pauses of a migration that does not get its locks: said as they come, kept for the report."""

import random
import time
from dataclasses import dataclass, field

from ci_migrate.errors import CiMigrateError
from ci_migrate.model import LockPolicy
from ci_migrate.run.run import Run


@dataclass
class Patience:
    """Waits between the tries of one migration of the target."""

    run: Run
    notes: list[str] = field(default_factory=list)

    def pause(self, what: str, attempt: int, did: str) -> bool:
        """Say who is in the way and wait, so that what queued behind us goes on.

        Args:
            what: did not get its locks: a revision, or a statement of it.
            attempt: the number of the try that failed; the first one is 1.
            did: what became of what it had done.

        Returns:
            False as soon as the run is interrupted.
        """
        # with chance in it: two runs that stand in each other's way would meet again each time
        seconds = LockPolicy.pause(attempt) * (0.5 + random.random())  # noqa: S311 - a pause, not a secret
        in_the_way = self.in_the_way()
        tries = self.run.settings.lock_policy.tries
        self.run.tell(
            f"lock timeout in {what} (try {attempt} of {tries}), {did}; again in {seconds:.0f} s. "
            f"In the way: {in_the_way}"
        )
        if attempt == 1:
            self.note(f"{what} met a lock timeout and was tried again. In the way: {in_the_way}")
        return self._wait(seconds)

    def in_the_way(self) -> str:
        """Who may hold the lock, in words."""
        try:
            found = self.run.database.blockers()[:3]
        except CiMigrateError:
            found = []  # that they can't be named is no reason to stop
        return "; ".join(found) or "another session that holds a lock"

    def note(self, words: str) -> None:
        """Keep a line for the report."""
        self.notes.append(words)

    @property
    def words(self) -> str:
        """What was kept, in one line; "" for nothing."""
        more = f" (and {len(self.notes) - 3} more)" if len(self.notes) > 3 else ""
        return f"{' '.join(f'{note}.' for note in self.notes[:3])}{more}"

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.run.interrupt.number is not None:
                return False
            # in small steps: a sleep goes on after a signal (PEP 475), and here a signal is only noted
            time.sleep(0.1)
        return True

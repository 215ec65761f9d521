"""How often somebody may fail to show a good key, and how many calls of one address may be open."""

import threading
import time
from collections import Counter, OrderedDict, deque

FAILURES = 10
PER_SECONDS = 60.0
ADDRESSES = 10_000
"""How many addresses are remembered; the one that was quiet longest is forgotten first."""


OPEN = 100
"""Calls of one address at once; each of a deploy tool lasts as long as its migration."""


class OpenCalls:
    """Open calls by address. For one event loop."""

    def __init__(self, most: int = OPEN) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    def begin(self, address: str) -> bool:
        """Whether one more is let in; then `end` is called once."""
        if self._open[address] >= self._most:
            return False
        self._open[address] += 1
        return True

    def end(self, address: str) -> None:
        """One has ended."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class Failures:
    """Failures by address. Keys can't be guessed; this keeps a caller with a wrong one from filling logs and ledger."""

    def __init__(self, limit: int = FAILURES, seconds: float = PER_SECONDS) -> None:
        self._limit = limit
        self._seconds = seconds
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, address: str) -> None:
        """One more failure of this address."""
        with self._lock:
            # the oldest of `limit` failures says when the next may be tried; none older is looked at
            times = self._seen.setdefault(address, deque(maxlen=self._limit))
            times.append(time.monotonic())
            self._seen.move_to_end(address)
            while len(self._seen) > ADDRESSES:
                self._seen.popitem(last=False)

    def wait(self, address: str) -> float:
        """For how many seconds a wrong key of this address is told so; 0 where it may try another."""
        with self._lock:
            times = self._seen.get(address)
            if times is None or len(times) < self._limit:
                return 0.0
            return max(0.0, times[0] + self._seconds - time.monotonic())

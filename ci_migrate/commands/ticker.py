"""How long a stage has been at work: a line that counts on a terminal, one every half a minute in a log."""

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ci_migrate.commands.printing import say, say_for_now

ON_A_TERMINAL, IN_A_LOG = 1.0, 30.0
"""Seconds between two lines. A CI ends jobs that are silent for long."""


class Ticker:
    """Counts in a thread of its own, so that it also does while nobody reports anything.

    Whoever prints something else does so within `still`: a line that counts is taken away first.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._label = ""
        self._since = 0.0
        self._shown = False
        self._stopped = 0

    def start(self, label: str, *, terminal: bool) -> None:
        """Begin to count for a label."""
        self.name(label)
        self._ended.clear()
        self._thread = threading.Thread(target=self._tick, args=(terminal,), daemon=True)
        self._thread.start()

    def name(self, label: str) -> None:
        """What is at work from now on; "" for nothing."""
        with self._lock:
            self._label, self._since = label, time.monotonic()

    def end(self) -> None:
        """Count no more. May be called without `start`."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._lock:
            self._clear()

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is counted while something else is on the screen: lines, a bar, a question."""
        with self._lock:
            self._clear()
            self._stopped += 1
        try:
            yield
        finally:
            with self._lock:
                self._stopped -= 1

    def _clear(self) -> None:
        if self._shown:
            with contextlib.suppress(OSError):  # nobody may be reading any more
                say_for_now("")
            self._shown = False

    def _tick(self, terminal: bool) -> None:
        every = ON_A_TERMINAL if terminal else IN_A_LOG
        while not self._ended.wait(every):
            with self._lock:
                seconds = time.monotonic() - self._since
                if not self._label or self._stopped or seconds < every / 2:
                    continue
                text = f"    {self._label}: {seconds:.0f} s"
                with contextlib.suppress(OSError):
                    if terminal:
                        say_for_now(text)
                        self._shown = True
                    else:
                        say(text, err=True)

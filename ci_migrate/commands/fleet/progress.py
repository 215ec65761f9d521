"""How far a fleet is: one line that is written anew on a terminal, one every half a minute in a log."""

import contextlib
import time

from ci_migrate.commands.environment import Environment
from ci_migrate.commands.printing import say, say_for_now

IN_A_LOG, ON_A_TERMINAL = 30.0, 0.2
"""Seconds between two lines."""


class ProgressLine:
    """Shows a line on standard error, and other lines above it."""

    def __init__(self, environment: Environment) -> None:
        self._quiet, self._terminal = environment.quiet, environment.terminal
        self._last = time.monotonic() - (ON_A_TERMINAL if self._terminal else 0.0)
        self._shown = False

    def show(self, text: str) -> None:
        """How far it is, where the last line was long enough ago."""
        now = time.monotonic()
        if self._quiet or now - self._last < (ON_A_TERMINAL if self._terminal else IN_A_LOG):
            return
        self._last = now
        with contextlib.suppress(OSError):  # nobody may be reading any more
            if self._terminal:
                say_for_now(text)
                self._shown = True
            else:
                say(text, err=True)

    def say(self, text: str, *, err: bool = True) -> None:
        """A line that stays."""
        self.end()
        with contextlib.suppress(OSError):
            say(text, err=err)

    def end(self) -> None:
        """Take the line away."""
        if self._shown:
            self._shown = False
            with contextlib.suppress(OSError):
                say_for_now("")

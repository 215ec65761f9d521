"""Who is logged in on the page: sessions in memory, gone when the service ends."""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field

LIFETIME = 8 * 3600.0
"""Seconds after which somebody logs in again."""

MOST = 1000
"""Sessions at once; the oldest ends first."""


@dataclass(frozen=True)
class Session:
    """A key that was shown to the login page. It is looked up in the ledger at each call: revoked is revoked."""

    target: str
    key: str = field(repr=False)
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    ends: float = field(default_factory=lambda: time.monotonic() + LIFETIME)


class Sessions:
    """Sessions by the random name that the browser's cookie holds. Safe to use from several threads."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, session: Session) -> str:
        """Remember a session; returns what the cookie holds."""
        name = secrets.token_urlsafe(32)
        with self._lock:
            self._open[name] = session
            while len(self._open) > MOST:
                self._open.popitem(last=False)
        return name

    def find(self, name: str) -> Session | None:
        """The session, if there is one and its time is not over."""
        with self._lock:
            # by the monotonic clock: one that is put back must not make a session last longer
            session = self._open.get(name)
            if session is not None and session.ends < time.monotonic():
                del self._open[name]
                return None
            return session

    def end(self, name: str) -> None:
        """Forget it."""
        with self._lock:
            self._open.pop(name, None)

"""What a connection may cost before it has said what it wants: a place and some seconds.

Uvicorn waits without end for the rest of a header or a body, and its own limit of connections answers 503 to everybody
once somebody has opened that many.
"""

import asyncio
from collections import Counter

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
"""For the whole head of a call, from the first byte or from when the connection was opened."""

BODY_SECONDS = 20.0
"""For its body: 64 KiB at most."""

WAITING = 256
"""Connections at once that have not sent the whole of a call. Whoever comes next takes the place of the oldest of the
address that has most of them, so that there is always one left."""

TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Waiting:
    """The connections that have not sent the whole of a call, the oldest first. For one event loop."""

    def __init__(self, most: int = WAITING) -> None:
        self._most = most
        self._there: dict[BoundedProtocol, str] = {}

    def add(self, connection: "BoundedProtocol", address: str) -> None:
        """One more; another one goes where there are too many."""
        self._there[connection] = address
        if len(self._there) <= self._most:
            return
        crowd = Counter(self._there.values()).most_common(1)[0][0]
        oldest = next(one for one, where in self._there.items() if where == crowd)
        self.remove(oldest)
        oldest.give_up()

    def remove(self, connection: "BoundedProtocol") -> None:
        """It has said all, or is gone."""
        self._there.pop(connection, None)


class BoundedProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with deadlines for what the caller sends; how long an answer takes is not looked at."""

    waiting: Waiting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected."""
        super().connection_made(transport)
        self._deadline: asyncio.TimerHandle | None = None
        self._awaited: object = None
        self._await(h11.IDLE)

    def connection_lost(self, exc: Exception | None) -> None:
        """They are gone."""
        self._await(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """They sent something: look at how far the call is now."""
        super().data_received(data)
        self._await(self.conn.their_state)

    def on_response_complete(self) -> None:
        """The call is answered; for the next one Uvicorn waits by itself, until its first byte."""
        super().on_response_complete()
        self._await(None)

    def give_up(self) -> None:
        """Close the connection; a call that was not told whole has no answer."""
        self._await(None)
        if not self.transport.is_closing():
            # later, a second status line would stand in the middle of an answer
            if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                self.transport.write(TOO_SLOW)
            self.transport.close()

    def _await(self, state: object) -> None:
        """Set the deadline for what is to come in this state; once for each call."""
        state = state if state in (h11.IDLE, h11.SEND_BODY) else None
        if state is self._awaited:
            return
        self._awaited = state
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if state is None or self.transport.is_closing():
            self.waiting.remove(self)
            return
        seconds = HEADER_SECONDS if state is h11.IDLE else BODY_SECONDS
        self._deadline = self.loop.call_later(seconds, self.give_up)
        self.waiting.add(self, self.client[0] if self.client else "")


def bounded_protocol() -> type[BoundedProtocol]:
    """The protocol for one server, with a list of its own of who is awaited."""
    return type("Bounded", (BoundedProtocol,), {"waiting": Waiting()})

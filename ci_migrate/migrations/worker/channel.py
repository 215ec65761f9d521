"""The conversation with the parent: events out, words in.

Each event is one JSON object on a line; `ci_migrate/migrations/events.py` mirrors them all. The words that come back
are "go", "stop" and "refuse <why>".
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Sequence
from select import select
from typing import Any

HELD = ("revision", "done", "stamped", "backfill")
"""Nothing depends on when they arrive: they go out with the next event, or after `HOLD` seconds."""

HOLD = 0.05
BUNDLE = 50

ASKED = ("statement", "committing", "committed")

json_text = json.JSONEncoder(default=str, ensure_ascii=False).encode


class Refused(Exception):  # noqa: N818 - it is no fault of anybody's
    """The wall, or the plan, says no."""


class Stopped(BaseException):
    """The parent asked to stop. A BaseException, so that no `except Exception` of an env.py holds it up."""


class Channel:
    """Events out, words in. Duplicates the standard streams first, so that env.py can't write into them.

    A switch from one process to the other costs more than most statements: what needs no answer goes out in bundles.
    """

    def __init__(self) -> None:
        self._unsent: list[bytes] = []
        self._asked: Sequence[str] = ASKED
        self._held: Sequence[str] = HELD
        self._in = os.dup(0)
        self._out = os.dup(1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        os.dup2(2, 1)
        self._buffer = b""
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._given = False

    def agree(self, asked: Sequence[str]) -> None:
        """Which events wait for a word. Without "statement" among them this process runs ahead of its parent."""
        self._asked = asked
        if "statement" not in asked:
            self._held = (*HELD, *(name for name in ASKED if name not in asked))
        # `_thread`: an application that waits for all threads that it sees, or patches them, has no part in this
        start_new_thread(self._send_later, (time.sleep,))

    def give_away(self) -> socket.socket:
        """The parent's words are another's affair from now on; nothing more is sent."""
        with self._lock:
            os.close(self._out)
            self._given = True
        return socket.socket(fileno=self._in)

    def _send_later(self, sleep: Callable[[float], None]) -> None:
        while True:
            sleep(HOLD)
            with self._lock:
                if self._given:
                    return
                try:
                    self._flush()
                except OSError:
                    return  # the parent is gone: that is dealt with before the next statement, not in between

    def line(self) -> bytes:
        """The parent's next word."""
        while b"\n" not in self._buffer:
            data = os.read(self._in, 65536)
            if not data:
                os._exit(70)  # the parent is gone: nothing more is sent to the database
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line

    def send(self, event: str, **fields: Any) -> None:
        """Tell the parent."""
        if self.forked:
            return
        fields["event"] = event
        # "replace": a name of a file that is no UTF-8 may be in it, and half of a surrogate pair is no JSON
        data = json_text(fields).encode("utf-8", "replace") + b"\n"
        with self._lock:
            self._unsent.append(data)
            if event in self._held and len(self._unsent) < BUNDLE:
                return
            try:
                self._flush()
            except OSError:
                os._exit(70)

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        while data:
            data = data[os.write(self._out, data) :]

    def ask(self, event: str, **fields: Any) -> None:
        """Tell the parent and wait for its word: "go", "stop" or "refuse <why>"."""
        if self.forked:
            raise Refused("a process forked by env.py may not use the database")
        with self._lock:
            self.send(event, **fields)
            # ahead of its parent, but not deaf: a word to stop, or the parent's end, makes its end readable
            if event not in self._asked and not self._buffer and not select([self._in], [], [], 0)[0]:
                return  # neither a word to stop nor the end of the parent
            word = self.line()
        if word == b"stop":
            raise Stopped
        if word.startswith(b"refuse "):
            raise Refused(word[7:].decode("utf-8", "replace"))

    def hear_stop(self) -> None:
        """Where nothing is asked for long: raise Stopped if the parent has said so, end if it is gone."""
        with self._lock:
            while self._buffer or select([self._in], [], [], 0)[0]:
                if self.line() == b"stop":
                    raise Stopped

    @property
    def forked(self) -> bool:
        """Whether this is a process that env.py forked: it has no part in the conversation."""
        return os.getpid() != self._pid

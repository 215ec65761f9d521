"""A TCP proxy that can get stuck: it goes on to accept and to acknowledge, and passes nothing on, either way."""

import ctypes
import selectors
import socket
import threading
from types import TracebackType
from typing import Self


class StuckProxy:
    """Before a server, by its port of this machine or its socket's path; `stuck` is set and cleared by the test.

    It listens on the loopback of a network namespace where one is named; on a dead link it ends sessions soon, as a
    server does.
    """

    def __init__(self, server: int | str, namespace: str = "") -> None:
        self._server, self._namespace = server, namespace
        self.port = 0
        self.stuck = threading.Event()
        self._over, self._ready = threading.Event(), threading.Event()
        self._other: dict[socket.socket, socket.socket] = {}
        self._look = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        for one in (self._listening, *self._other):
            one.close()

    def _work(self) -> None:
        if self._namespace:  # of this thread alone
            with open(f"/var/run/netns/{self._namespace}") as file:
                assert ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0) == 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._look.register(self._listening, selectors.EVENT_READ)
        self._ready.set()
        while not self._over.is_set():
            if self.stuck.is_set():  # the kernel accepts and acknowledges all the same
                self._over.wait(0.05)
                continue
            for key, _ in self._look.select(0.05):
                one = key.fileobj
                assert isinstance(one, socket.socket)
                if one is self._listening:
                    self._accept()
                elif one in self._other:  # not closed with its other end a moment ago
                    self._pass_on(one)

    def _accept(self) -> None:
        ours, _ = self._listening.accept()
        for name, value in (("IDLE", 5), ("INTVL", 2), ("CNT", 3)):
            ours.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_KEEP{name}"), value)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if isinstance(self._server, str):
            theirs = socket.socket(socket.AF_UNIX)
            theirs.connect(self._server)
        else:
            theirs = socket.create_connection(("127.0.0.1", self._server))
        self._other |= {ours: theirs, theirs: ours}
        for one in (ours, theirs):
            self._look.register(one, selectors.EVENT_READ)

    def _pass_on(self, one: socket.socket) -> None:
        try:
            data = one.recv(1 << 16)
            if data:
                self._other[one].sendall(data)
                return
        except (OSError, KeyError):
            pass
        for end in (one, self._other.pop(one, None)):
            if end is not None:
                self._other.pop(end, None)
                self._look.unregister(end)
                end.close()

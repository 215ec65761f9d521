"""What each call passes: a limit on what it sends, headers on what is answered, a record of how it ended."""

import contextlib
from collections.abc import MutableMapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ci_migrate.errors import CiMigrateError
from ci_migrate.server.audit_writer import Call
from ci_migrate.server.limits import OpenCalls
from ci_migrate.server.problems import ProblemError, problem
from ci_migrate.server.service import Service

BODY_LIMIT = 64 * 1024
"""Bytes; the largest is a signed token, at most 32 KiB."""

TOO_LARGE = f"The body is larger than {BODY_LIMIT} bytes."

HEALTH = "/healthz"
TOO_MANY = "Too many open calls of this address. Wait for the end of one."

HEADERS = (
    (b"cache-control", b"no-store"),  # answers hold tokens
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"same-origin"),  # with none at all a browser says `Origin: null` of our own forms
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)


class Edges:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self.app = app
        self.service = service
        self.open = OpenCalls()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["path"] == HEALTH:  # whoever asks whether we live is always told
            await self.app(scope, receive, _dressed(send))
            return
        address = client[0] if (client := scope.get("client")) else "unknown"
        host = _host_of(scope)
        if not self.service.hosts.serve(host):
            await problem(421, self.service.hosts.words(host))(scope, receive, _dressed(send))
            return
        if not self.open.begin(address):
            again = {"Retry-After": "1", "Connection": "close"}
            await problem(429, TOO_MANY, headers=again)(scope, receive, _dressed(send))
            return
        try:
            await self._call(scope, receive, send)
        finally:
            self.open.end(address)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        status, read = 500, 0

        async def limit() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY_LIMIT:
                raise ProblemError(413, TOO_LARGE)
            return message

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            app = _too_large if _announced_length(scope) > BODY_LIMIT else self.app
            with contextlib.suppress(ClientDisconnect):  # nobody is there to be answered
                await app(scope, limit, _dressed(noted))
        finally:
            self._tell(scope, state, status)

    def _tell(self, scope: Scope, state: MutableMapping[str, Any], status: int) -> None:
        """Put the call into the audit trail of the target that it was for; without query and body: they hold tokens."""
        target, key = state.get("target"), state.get("key")
        if target is None or status == 429:  # whoever hammers must not fill the ledger too
            return
        client = scope.get("client")
        facts = {
            "method": scope["method"],
            "path": scope["path"][:300],
            "status": status,
            "key": key.name if key is not None else None,
            "keyId": key.key_id if key is not None else None,
            "address": client[0] if client else "unknown",
        }
        with contextlib.suppress(CiMigrateError):
            ledger = target.ledger()
            if ledger is not None:
                self.service.auditor.tell(Call(ledger, facts))


def _dressed(send: Send) -> Send:
    """Send with the headers that every answer has."""

    async def dress(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *((n, v) for n, v in HEADERS if n not in there)]
        await send(message)

    return dress


def _host_of(scope: Scope) -> str:
    """What the call says whom it is for."""
    return next((v.decode("latin-1") for n, v in scope["headers"] if n == b"host"), "")


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(413, TOO_LARGE, headers={"Connection": "close"})(scope, receive, send)


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0

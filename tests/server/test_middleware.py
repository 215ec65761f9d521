"""What each call passes, whatever the application does: limits, headers, a record."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect

from ci_migrate.errors import LedgerError
from ci_migrate.server.hosts import Hosts
from ci_migrate.server.middleware import BODY_LIMIT, HEADERS, Edges
from ci_migrate.server.problems import ProblemError


class Told(list):
    """In place of the auditor: what it is told of."""

    tell = list.append


class Target:
    def __init__(self, ledger: object = "the ledger", error: Exception | None = None) -> None:
        self._ledger, self._error = ledger, error

    def ledger(self) -> object:
        if self._error is not None:
            raise self._error
        return self._ledger


class Service:
    def __init__(self) -> None:
        self.hosts = Hosts()
        self.auditor = Told()


@pytest.fixture
def service():
    return Service()


def scope_of(path: str = "/jobs", host: str = "localhost", **more) -> dict:
    headers = [(b"host", host.encode("latin-1")), *more.pop("headers", [])]
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": headers,
        "client": ("10.0.0.1", 1),
        **more,
    }


def call(edges: Edges, scope: dict, *pieces: bytes) -> list[dict]:
    """What is sent back, as messages."""
    sent = []
    left = list(pieces) or [b""]

    async def receive() -> dict:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    async def send(message: dict) -> None:
        sent.append(message)

    asyncio.run(edges(scope, receive, send))
    return sent


def answers(status: int = 200, headers: list | None = None, *, reads: bool = False, target: object = None):
    """An application that answers so."""

    async def app(scope, receive, send) -> None:
        scope["state"]["target"] = target
        more = reads
        while more:
            more = (await receive()).get("more_body", False)
        await send({"type": "http.response.start", "status": status, "headers": headers or []})
        await send({"type": "http.response.body", "body": b""})

    return app


def raises(error: Exception):
    async def app(scope, _receive, _send) -> None:
        scope["state"]["target"] = Target()
        raise error

    return app


def status(sent: list[dict]) -> int:
    return sent[0]["status"]


def test_what_is_no_call_passes_as_it_is(service):
    seen = []

    async def app(scope, _receive, _send) -> None:
        seen.append(scope)

    scope = {"type": "lifespan"}
    assert call(Edges(app, service), scope) == []
    assert seen == [scope]


def test_a_header_that_the_page_sets_itself_is_not_doubled(service):
    own = [(b"content-security-policy", b"default-src 'self'"), (b"content-type", b"text/html")]
    sent = call(Edges(answers(headers=own), service), scope_of())[0]["headers"]
    names = [name for name, _ in sent]
    assert len(names) == len(set(names))
    assert dict(sent)[b"content-security-policy"] == b"default-src 'self'"
    assert {name for name, _ in HEADERS} <= set(names)


def test_a_body_of_exactly_the_limit_is_read(service):
    assert status(call(Edges(answers(reads=True), service), scope_of(), b"x" * BODY_LIMIT)) == 200
    with pytest.raises(ProblemError, match="larger than"):
        call(Edges(answers(reads=True), service), scope_of(), b"x" * BODY_LIMIT, b"y")


@pytest.mark.parametrize(
    ("length", "read"),
    [
        (str(BODY_LIMIT), True),
        (str(BODY_LIMIT + 1), False),
        ("9" * 400, False),
        ("-1", True),
        ("x", True),
        ("²", True),
    ],
)
def test_a_body_that_is_announced_as_too_large_is_not_waited_for(service, length, read):
    headers = [(b"content-length", length.encode("utf-8"))]
    sent = call(Edges(answers(), service), scope_of(headers=headers))
    assert status(sent) == (200 if read else 413)
    if not read:
        assert (b"connection", b"close") in sent[0]["headers"], (
            "what comes is not read: nothing may follow it"
        )


def test_who_asks_for_life_is_told_under_any_name_and_however_many_call(service):
    edges = Edges(answers(), service)
    edges.open._most = 0
    assert status(call(edges, {**scope_of("/healthz", host="evil.example"), "state": {}})) == 200
    assert status(call(edges, scope_of())) == 429
    assert status(call(edges, scope_of(host="evil.example"))) == 421
    assert service.auditor == []


@pytest.mark.parametrize("error", [None, ValueError("x"), ClientDisconnect()])
def test_however_a_call_ends_it_is_not_open_any_more(service, error):
    edges = Edges(answers() if error is None else raises(error), service)
    edges.open._most = 1
    for _ in range(3):
        if isinstance(error, ValueError):
            with pytest.raises(ValueError, match="x"):
                call(edges, scope_of())
        else:
            call(edges, scope_of())
    assert edges.open._open == {}


def test_a_caller_who_is_gone_is_no_error_and_is_written_down(service):
    call(Edges(raises(ClientDisconnect()), service), scope_of())
    (told,) = service.auditor
    assert told.facts["status"] == 500, "nobody knows what it would have been"


@pytest.mark.parametrize(
    ("status_", "told"), [(200, True), (401, True), (403, True), (500, True), (429, False)]
)
def test_calls_are_told_but_not_those_of_who_hammers(service, status_, told):
    call(Edges(answers(status_, target=Target()), service), scope_of())
    assert bool(service.auditor) is told


@pytest.mark.parametrize("target", [None, Target(ledger=None), Target(error=LedgerError("down"))])
def test_where_no_ledger_is_there_is_nothing_to_tell_and_the_answer_is_the_same(service, target):
    assert status(call(Edges(answers(target=target), service), scope_of())) == 200
    assert service.auditor == []


def test_what_is_told_has_no_query_and_no_end_of_a_very_long_path(service):
    scope = scope_of("/" + "x" * 1000, query_string=b"token=s3cret", client=None)
    call(Edges(answers(target=Target()), service), scope)
    (told,) = service.auditor
    assert told.ledger == "the ledger"
    assert told.facts == {
        "method": "GET", "path": "/" + "x" * 299, "status": 200, "key": None, "keyId": None, "address": "unknown",
    }  # fmt: skip

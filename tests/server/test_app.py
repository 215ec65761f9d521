"""The application as a whole: what it documents, what it does at its start and end; the socket that it listens on."""

import asyncio
import re
import signal
import socket

import httpx
import pytest
import uvicorn
from fastapi.routing import APIRoute

from ci_migrate.ledger.keys import Role
from ci_migrate.server import access
from ci_migrate.server.app import Server, create_app, listen
from ci_migrate.server.routes import router
from ci_migrate.server.service import Service


@pytest.fixture
def service(tmp_path):
    made = Service(tmp_path, {})
    yield made
    made.close()


@pytest.fixture
def document(service) -> dict:
    return create_app(service).openapi()


def calls(document) -> dict[tuple[str, str], dict]:
    return {
        (method, path): call
        for path, methods in document["paths"].items()
        for method, call in methods.items()
    }


def test_every_call_says_what_it_is_for_and_what_it_answers(document):
    assert "HTTPValidationError" not in str(document), (
        "FastAPI's own: a call that makes no sense is a 400 here"
    )
    for name, call in calls(document).items():
        assert call["description"].strip().endswith("."), name
        assert "500" in call["responses"], name
        for status, answer in call["responses"].items():
            if status[0] in "45" and status != "500":
                assert "application/problem+json" in answer["content"], (name, status)


def test_every_call_but_the_look_for_life_takes_a_key(document):
    open_to_all = {path for (_, path), call in calls(document).items() if not call.get("security")}
    assert open_to_all == {"/healthz"}


def role_of(route: APIRoute) -> str:
    """The role that an endpoint asks for, as its dependency knows it."""
    (asks,) = [
        d.call for d in route.dependant.dependencies if getattr(d.call, "__module__", "") == access.__name__
    ]
    cells = dict(zip(asks.__code__.co_freevars, asks.__closure__, strict=True))
    return cells["role"].cell_contents.value


def test_only_administrators_take_something_away_and_viewers_change_nothing():
    for route in router.routes:
        role = Role(role_of(route))
        (method,) = route.methods
        if method == "DELETE" or any(
            word in route.path for word in ("restore", "prune", "drop-old", "stamp")
        ):
            assert role is Role.ADMIN, route.path
        elif "token" in route.path and "validate" not in route.path:
            assert role is Role.APPROVER, route.path
        elif method == "POST":
            assert role.covers(Role.OPERATOR), route.path
        if role is Role.VIEWER:
            assert method == "GET", route.path


def test_no_page_of_the_application_loads_what_lies_elsewhere(service):
    """FastAPI's own pages of documentation load scripts from a content network."""
    app = create_app(service)

    async def ask() -> list[int]:
        way = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=way, base_url="http://localhost") as client:
            return [(await client.get(path)).status_code for path in ("/docs", "/redoc", "/openapi.json")]

    assert asyncio.run(ask()) == [404, 404, 200]


def test_names_of_bodies_are_camel_case(document):
    names = {
        name for schema in document["components"]["schemas"].values() for name in schema.get("properties", {})
    }
    assert names
    assert [name for name in names if not re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)*", name)] == []


# --------------------------------------------------------------------------- start and end


def test_at_the_start_it_recovers_and_at_the_end_it_closes(service, monkeypatch):
    done = []
    monkeypatch.setattr(service, "recover", lambda: done.append("recovered"))
    monkeypatch.setattr(service, "close", lambda: done.append("closed"))
    app = create_app(service)

    async def live() -> None:
        async with app.router.lifespan_context(app):
            done.append("serving")

    asyncio.run(live())
    assert done == ["recovered", "serving", "closed"]


def test_children_are_told_to_stop_once_and_before_open_calls_are_waited_for(service, monkeypatch):
    """A second signal comes while the first one holds the locks: asking again would stand still for ever."""
    stopped = []
    monkeypatch.setattr(service, "stop", lambda: stopped.append(server.should_exit))
    server = Server(uvicorn.Config(create_app(service)), service)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGINT, None)
    assert stopped == [False]
    assert server.should_exit
    assert server.force_exit, "and who asks again with Ctrl-C does not wait for open calls"


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_it_listens_where_it_is_told_to(host, family):
    try:
        listening = listen(host, 0)
    except OSError:
        if family == socket.AF_INET6:
            pytest.skip("this machine has no IPv6")
        raise
    with listening:
        assert (listening.family, listening.proto) == (family, socket.IPPROTO_TCP)
        with socket.create_connection(listening.getsockname()[:2], timeout=10):
            pass


def test_a_port_that_is_taken_is_an_error_and_no_socket_is_left_open():
    with listen("127.0.0.1", 0) as listening, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", listening.getsockname()[1])
    with listen("127.0.0.1", 0) as again:
        assert again.getsockname()[1]
    with pytest.raises(OSError):
        listen("203.0.113.1", 0)

"""What callers without a key can do to those with one: nothing."""

import asyncio
import socket
import time

import pytest
import uvicorn
from alembic_project import new_project
from http_service import PREFIX, make_key, served

from ci_migrate.server import connections
from ci_migrate.server.connections import Waiting
from ci_migrate.server.hosts import Hosts
from ci_migrate.server.limits import OpenCalls


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    project = new_project(tmp_path_factory.mktemp("served"))
    project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n[targets.shop]\nurl = "sqlite:///shop.db"\n')
    keys = {(target, "viewer"): make_key(project, "ana", "viewer", target) for target in ("dev", "shop")}
    with served(project, keys, "--host-name", "migrate.example.com") as running:
        yield running
    assert "Traceback" not in (project.folder / "serve.log").read_text()


def connect(service) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def jobs(service, target="dev", **how):
    return service.call("GET", "/jobs", role="viewer", target=target, **how)


def test_F30_a_thousand_half_open_calls_shut_nobody_out(service):
    """They come from the address of those who are let in."""
    opened = [connect(service) for _ in range(900)]
    try:
        for number, one in enumerate(opened):
            if number % 2:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        assert service.client.get(f"{service.url}/healthz").status_code == 200
        assert jobs(service).status_code == 200
        closed = [one for one in opened[:300] if not _still_open(one)]
        assert len(closed) > 250  # the oldest went
    finally:
        for one in opened:
            one.close()


def _still_open(one: socket.socket) -> bool:
    one.settimeout(0.01)
    try:
        while one.recv(1000):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


@pytest.mark.long
@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /ui/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nkey",
    ],
)
def test_F30_who_is_too_slow_is_told_and_closed(service, start):
    began = time.monotonic()
    with connect(service) as one:
        one.sendall(start)
        told = one.recv(1000)
        assert told.startswith(b"HTTP/1.1 408") or not told
        assert one.recv(1000) == b""
    assert time.monotonic() - began < connections.BODY_SECONDS + 5


def test_F30_wrong_keys_lock_no_good_one_out(service):
    wrong = "cim_" + "0" * 12 + "_" + "x" * 43
    answers = [jobs(service, key=key).status_code for key in [wrong, "nonsense"] * 6]
    assert answers[:10] == [401] * 10
    assert set(answers[10:]) == {429}
    assert jobs(service).status_code == 200
    service.client.cookies.clear()
    page = service.client.post(f"{service.url}/ui/login", data={"key": service.keys["dev", "viewer"]})
    assert page.status_code == 303
    assert service.client.post(f"{service.url}/ui/login", data={"key": "bad"}).status_code == 429
    service.client.cookies.clear()


def test_F30_a_key_says_which_target_it_is_for(service):
    for target in ("dev", "shop"):
        headers = {"Authorization": f"Bearer {service.keys[target, 'viewer']}"}
        assert service.client.get(f"{service.url}{PREFIX}/jobs", headers=headers).json() == []
        other = "shop" if target == "dev" else "dev"
        named = service.client.get(f"{service.url}{PREFIX}/jobs", headers=headers, params={"target": other})
        assert named.status_code in (401, 429)


@pytest.mark.parametrize(("host", "status"), [
    ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("10.1.2.3", 200), ("migrate.example.com", 200),
    ("MIGRATE.example.com.:443", 200), ("evil.example.com", 421), ("localhost.evil.example.com", 421), ("", 421),
    ("127.0.0.1.nip.io", 421), ("a@localhost", 200),
])  # fmt: skip
def test_F30_a_name_that_is_not_ours_is_not_answered(service, host, status):
    assert jobs(service, headers={"Host": host}).status_code == status
    if status == 421:
        page = service.client.get(f"{service.url}/ui/login", headers={"Host": host})
        assert page.status_code == 421
        assert service.client.get(f"{service.url}/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["null", "https://evil.example.com", "http://127.0.0.1:1", ""])
def test_F30_a_form_of_another_origin_is_refused(service, origin):
    sent = service.client.post(f"{service.url}/ui/login", data={"key": "x"}, headers={"Origin": origin})
    assert sent.status_code == 403


def test_who_has_most_connections_gives_one_up():
    gone = []

    class One:
        def __init__(self, name):
            self.name = name

        def give_up(self):
            gone.append(self.name)

    waiting = Waiting(3)
    for number, address in enumerate(["b", "a", "a", "a", "c"]):
        waiting.add(One(f"{address}{number}"), address)
    assert gone == ["a1", "a2"]


# --------------------------------------------------------------------------- deadlines, in this process


@pytest.fixture
def quick(monkeypatch):
    """Runs `talk(connect)` against a server whose deadlines are short."""
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    monkeypatch.setattr(connections, "BODY_SECONDS", 0.2)

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await asyncio.sleep(0.4)
        elif scope["path"] == "/reads":
            while (await receive()).get("more_body"):
                pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def run(talk):
        protocol = connections.bounded_protocol()
        config = uvicorn.Config(
            app, http=protocol, lifespan="off", log_level="critical", timeout_keep_alive=5
        )
        config.load()
        state = uvicorn.server.ServerState()

        async def serve():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                await talk(lambda: asyncio.open_connection("127.0.0.1", port))
            return protocol.waiting

        return asyncio.run(serve())

    return run


CALL = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /",
        CALL % b"" + b"X-Slow: ",
        b"POST /reads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nkey",
    ],
)
def test_F30_who_says_no_whole_call_is_closed_after_its_time(quick, start):
    told = []

    async def talk(connect):
        reader, writer = await connect()
        writer.write(start)
        told.append(await asyncio.wait_for(reader.read(), 10))
        writer.close()

    quick(talk)
    assert told[0] == b"" or told[0].startswith(b"HTTP/1.1 408")


def test_F30_how_long_an_answer_takes_has_no_end(quick):
    """A migration takes hours; so may the next call on the same connection come late."""

    async def talk(connect):
        reader, writer = await connect()
        for path in (b"slow", b"slow"):
            writer.write(CALL % path + b"\r\n")
            answer = await asyncio.wait_for(reader.readuntil(b"ok"), 10)
            assert answer.startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.3)
        writer.close()

    quick(talk)


def test_F30_a_byte_now_and_then_does_not_put_the_deadline_off(quick):
    async def talk(connect):
        reader, writer = await connect()
        writer.write(CALL % b"" + b"X-Slow: ")
        closed = asyncio.ensure_future(reader.read())
        for _ in range(200):
            if closed.done():
                break
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert (await asyncio.wait_for(closed, 10)).startswith(b"HTTP/1.1 408")
        writer.close()

    quick(talk)


def test_F30_whoever_is_gone_or_answered_is_not_awaited_any_more(quick):
    async def talk(connect):
        gone = [await connect() for _ in range(5)]
        for _, writer in gone:
            writer.close()
        reader, writer = await connect()
        writer.write(CALL % b"" + b"Connection: close\r\n\r\n")
        await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await asyncio.sleep(0.05)

    assert quick(talk)._there == {}


def test_open_calls_are_counted_by_address():
    calls = OpenCalls(2)
    assert [calls.begin("a"), calls.begin("a"), calls.begin("a"), calls.begin("b")] == [
        True,
        True,
        False,
        True,
    ]
    calls.end("a")
    assert calls.begin("a")


def test_names_of_the_service():
    assert not Hosts().serve("migrate.example.com")
    assert not Hosts().serve("[::1")
    assert Hosts(["0.0.0.0"]).serve("localhost")

"""A database that does not answer any more: the run ends in bounded time, and the next command mends what it left."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic_project import COMMAND
from kill_support import Shop, new_shop, only_for_real
from sqlalchemy import make_url
from stuck_proxy import StuckProxy

from ci_migrate.run import network

WAITS = 'op.add_column("customers", sa.Column("email", sa.String(80)))\n' + only_for_real(
    """
    open("waits", "w").close()
    while os.path.exists("waits"):
        time.sleep(0.05)
    """
) + '\nop.execute("UPDATE customers SET points = points + 1")'  # fmt: skip
"""A revision that waits in its middle until the proxy is stuck; its next statement is sent and never answered."""


@pytest.fixture(
    params=[
        "postgresql_url",
        *(pytest.param(name, marks=pytest.mark.long) for name in ("mysql_url", "mysql97_url")),
    ]
)
def url(request) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def proxy(url) -> Iterator[StuckProxy]:
    with StuckProxy(url.port) as proxy:
        yield proxy


@pytest.fixture
def shop(tmp_path, url, proxy) -> Shop:
    shop = new_shop(tmp_path, url.set(host="127.0.0.1", port=proxy.port))
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    shop.revision("r1", "r0", WAITS, "pass")
    return shop


def stick(shop: Shop, proxy: StuckProxy, then: Any = lambda: None) -> threading.Thread:
    """Once the revision waits, nothing is passed on any more; then the revision goes on."""

    def work() -> None:
        while not (shop.folder / "waits").exists():
            time.sleep(0.05)
        proxy.stuck.set()
        (shop.folder / "waits").unlink()
        then()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def recovers(shop: Shop, proxy: StuckProxy) -> None:
    """The network is back: what is named leads to the end."""
    proxy.stuck.clear()
    deadline = time.monotonic() + 60
    while (repaired := shop.here("repair")).code == 5 and time.monotonic() < deadline:
        time.sleep(1)  # the server has not heard yet that the sessions are gone
    assert repaired.code == 0, repaired.text
    assert shop.here("status").code == 0
    shop.revision("r1", "r0", WAITS.replace('"migrate"', '"never"'), "pass")
    assert shop.here("run").code == 0
    assert shop.query("SELECT sum(points) FROM customers") == [(sum(range(1, 31)) + 30,)]


def test_F103_a_proxy_that_is_stuck_is_noticed(shop, proxy, monkeypatch) -> None:
    for name, seconds in (("EVERY", 0.5), ("TOLD", 2.0), ("SILENT", 8.0)):
        monkeypatch.setattr(network, name, seconds)
    stick(shop, proxy)
    started = time.monotonic()
    done = shop.here("run")
    took = time.monotonic() - started
    told = " ".join(done.text.split())
    assert done.code == 7, done.text
    assert "no answer from the database for" in told
    assert "has not answered for" in told
    assert "ci-migrate repair --target dev" in told
    assert took < 60, done.text
    recovers(shop, proxy)


def test_F103_two_signals_behind_a_stuck_proxy_end_the_parent_too(shop, proxy) -> None:
    gate = shop.start("run")
    stick(shop, proxy).join(120)
    gate.send_signal(signal.SIGINT)
    time.sleep(1)
    gate.send_signal(signal.SIGINT)
    started = time.monotonic()
    out, _ = gate.communicate(timeout=60)
    assert gate.returncode in (7, 130), out
    assert time.monotonic() - started < 45
    recovers(shop, proxy)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network of its own, in which a link can go down."""
    name = f"cim{os.urandom(3).hex()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False) if IP else None
    if made is None or made.returncode:
        pytest.skip("network namespaces need root on Linux, and `ip`")
    link(name, "up")
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


IP = shutil.which("ip")


def link(name: str, state: str) -> None:
    subprocess.run(["ip", "-n", name, "link", "set", "lo", state], check=True)


@pytest.mark.long
def test_F103_a_link_that_goes_down(tmp_path, postgresql_server, postgresql_url, namespace) -> None:
    """No packet comes through any more, either way: two minutes later the run has ended, and says what is known."""
    shop = new_shop(tmp_path, postgresql_url)
    for name in ("r2", "r3"):
        (tmp_path / "migrations" / "versions" / f"{name}.py").unlink()
    shop.revision("r1", "r0", WAITS, "pass")

    def gate(*arguments: str) -> "subprocess.Popen[str]":
        command = ["ip", "netns", "exec", namespace, *COMMAND, *arguments]
        return subprocess.Popen(
            command, cwd=shop.folder, env=shop.environment(), stdout=-1, stderr=subprocess.STDOUT, text=True
        )

    path = f"{postgresql_server.sockets}/.s.PGSQL.{postgresql_server.port}"
    with StuckProxy(path, namespace) as proxy:
        url = postgresql_url.set(drivername="postgresql+psycopg", host="127.0.0.1", port=proxy.port, query={})
        shop.environ["DATABASE_URL"] = url.render_as_string(hide_password=False)
        running = gate("run")
        while not (shop.folder / "waits").exists():
            assert running.poll() is None, running.communicate()[0]
            time.sleep(0.05)
        link(namespace, "down")
        (shop.folder / "waits").unlink()
        started = time.monotonic()
        out, _ = running.communicate(timeout=240)
        took = time.monotonic() - started
        assert running.returncode == 7, out
        assert took < 120, out
        assert "ci-migrate repair --target dev" in out
        link(namespace, "up")
        deadline = time.monotonic() + 120
        while (repair := gate("repair")).wait() == 5 and time.monotonic() < deadline:
            time.sleep(2)  # the server has not heard yet that the sessions are gone
        assert repair.returncode == 0, repair.communicate()[0]
        status = gate("status")
        assert status.wait() == 0, status.communicate()[0]


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("postgresql://ana@127.0.0.1/shop", {("127.0.0.1", 5432)}),
        ("postgresql://ana@127.0.0.1:6000/shop", {("127.0.0.1", 6000)}),
        ("mysql://ana@127.0.0.1/shop", {("127.0.0.1", 3306)}),
        ("postgresql://ana@[::1]/shop", {("::1", 5432)}),
        ("postgresql://ana@[::1]:6000/shop", {("::1", 6000)}),
        ("mysql://ana@[2001:db8::7]/shop", {("2001:db8::7", 3306)}),
        (
            "postgresql://ana@/shop?host=127.0.0.1:6000&host=127.0.0.2:6001",
            {("127.0.0.1", 6000), ("127.0.0.2", 6001)},
        ),
        (
            "postgresql://ana@/shop?host=127.0.0.1,127.0.0.2&port=6000,6001",
            {("127.0.0.1", 6000), ("127.0.0.2", 6001)},
        ),
        ("postgresql://ana@/shop?host=127.0.0.1&host=127.0.0.2", {("127.0.0.1", 5432), ("127.0.0.2", 5432)}),
        (
            "postgresql://ana@/shop?host=127.0.0.1,127.0.0.2",
            {("127.0.0.1", 5432), ("127.0.0.2", 5432)},
        ),
        ("postgresql://ana@/shop?hostaddr=127.0.0.9&host=db.invalid", {("127.0.0.9", 5432)}),
        ("postgresql://ana@/shop?host=/run/postgresql", set()),
        ("postgresql://ana@/shop?host=@abstract", set()),
        ("postgresql://ana@/shop", set()),
        ("postgresql://ana@nowhere.invalid/shop", set()),
        ("postgresql://ana@/shop?host=127.0.0.1:nonsense", set()),
    ],
)
def test_F103_all_sessions_with_the_server_are_found_however_its_address_is_written(target, found):
    """Those that are not would be waited for without end."""
    url = make_url(target)
    dialect = "postgresql" if "postgresql" in target else "mariadb"
    run = SimpleNamespace(database=SimpleNamespace(url=url, dialect=dialect))
    assert set(network._addresses(run)) == found


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_F103_of_all_sockets_those_with_the_server_are_shut(family):
    address = "127.0.0.1" if family == socket.AF_INET else "::1"
    if family == socket.AF_INET6 and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with (
        socket.create_server((address, 0), family=family) as server,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.create_connection(server.getsockname()[:2]) as ours,
        socket.create_connection(other.getsockname()) as theirs,
    ):
        taken, _ = other.accept()
        network.shut_sessions({(address, server.getsockname()[1])})
        ours.settimeout(5)
        assert ours.recv(1) == b"", "who reads hears its end"
        theirs.sendall(b"x")
        taken.settimeout(5)
        assert taken.recv(1) == b"x", "others are left alone"
        taken.close()

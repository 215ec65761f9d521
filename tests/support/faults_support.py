"""Faults at one statement of a migration, made by what makes them in life: a server, a network, a disk."""

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from kill_support import Shop, new_shop
from sqlalchemy import URL

FAULTY_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine, pool

# FAULT_AT: the number of the statement; FAULT_SQL: what is sent before it; FAULT_MARK: what is written behind it
number = int(os.environ.get("FAULT_AT", 0))
struck = os.environ.get("FAULT_STRUCK", "")
armed = number and os.environ.get("CI_MIGRATE_STAGE") == "migrate" and not os.path.exists(struck)
sent = 0

url = os.environ["DATABASE_URL"]
pipes = {"init_command": "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"}
engine = create_engine(url, poolclass=pool.NullPool, connect_args=pipes if url.startswith("mysql") else {})
do_execute = engine.dialect.do_execute


def faulty_execute(cursor, statement, parameters, context=None):
    global sent
    if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA", "SHOW")):
        sent += 1
        if armed and sent == number:
            open(struck, "w").close()
            if "FAULT_RAISE" in os.environ:
                raise ValueError("injected")
            if "FAULT_SQL" in os.environ:
                cursor.execute(os.environ["FAULT_SQL"])
            statement += os.environ.get("FAULT_MARK", "")
    do_execute(cursor, statement, parameters, context)


engine.dialect.do_execute = faulty_execute
with engine.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
if "FAULT_COUNTS" in os.environ and os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    with open(os.environ["FAULT_COUNTS"], "w") as file:
        file.write(str(sent))
"""

CUT = "cut before it arrives"
LOSE = "lose the answer"
"""Marks in a statement: what the proxy does when it sees them."""


@contextmanager
def cutting_proxy(port: int) -> Iterator[int]:
    """A TCP proxy to a port of this machine, by the marks; its port."""

    def pump(source: socket.socket, sink: socket.socket, losing: threading.Event, *, client: bool) -> None:
        with closing(source), closing(sink), suppress(OSError):
            while data := source.recv(65536):
                if client and CUT.encode() in data:
                    break
                if client and LOSE.encode() in data:
                    losing.set()
                elif not client and losing.is_set():
                    break  # the server has done it, and nobody hears of it
                sink.sendall(data)
            for one in (source, sink):
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            losing = threading.Event()
            for one, other, by_client in ((client, server, True), (server, client, False)):
                threading.Thread(
                    target=pump, args=(one, other, losing), kwargs={"client": by_client}, daemon=True
                ).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size at a folder. Skips where that needs rights that we lack."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def more_room(folder: Path, size: str) -> None:
    """Somebody makes the file system larger."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def faulty_shop(folder: Path, url: URL | None, settings: str = "") -> Shop:
    """A shop with a table more, and an env.py in which faults can strike."""
    shop = new_shop(folder, url, settings=f"lock-timeout = 1\nlock-tries = 1\n{settings}")
    shop.write("migrations/env.py", FAULTY_ENV)
    shop.query("CREATE TABLE ballast (id INTEGER, content VARCHAR(1000))")
    shop.query("INSERT INTO ballast VALUES (1, 'one')")
    return shop


def arm(shop: Shop, number: int, **what: str) -> None:
    """Let the fault strike at a statement, once. `what`: sql, mark, or raise_."""
    (shop.folder / "struck").unlink(missing_ok=True)
    shop.environ |= {"FAULT_STRUCK": str(shop.folder / "struck"), "FAULT_AT": str(number)}
    shop.environ |= {f"FAULT_{name.strip('_').upper()}": text for name, text in what.items()}


def next_command(shop: Shop) -> list[str]:
    """What `status` says to do; [] for nothing."""
    status = shop.here("status")
    found = re.search(r"^next\s+(?:#[^\n]*\n\s+)?ci-migrate ([^(\n]*)", status.text, re.MULTILINE)
    assert found or "nothing to do" in status.text, status.text
    return found[1].split() if found else []


def as_told(shop: Shop, limit: int = 4) -> list[str]:
    """Type what `status` names until there is nothing to do; what was typed."""
    typed: list[str] = []
    while command := next_command(shop):
        typed.append(" ".join(c for c in command if c not in ("--target", "dev")))
        assert len(typed) <= limit, typed
        answer = shop.here(*command)
        assert answer.code == 0, f"{typed}\n{answer.text}"
    return typed

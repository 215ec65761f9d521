"""`ci-migrate serve` as a process of its own on a free port, or its application in this process; and callers with keys."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from alembic_project import COMMAND, AlembicProject

from ci_migrate.ledger import keys
from ci_migrate.ledger.keys import Role
from ci_migrate.migrations.interrupt import Interrupt
from ci_migrate.server.app import create_app
from ci_migrate.server.service import Service
from ci_migrate.server.work import perform
from ci_migrate.settings.settings import load

PREFIX = "/api/database/migration"
ROLES = ("viewer", "operator", "approver", "admin")

WAITS = """\
import os, time
op.execute("insert into users (name) values ('half')")
if os.environ.get("CI_MIGRATE_STAGE") == "migrate":
    open("reached", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.02)
op.execute("insert into users (name) values ('whole')")
"""


def descendants(pid: int) -> list[int]:
    """The processes that this one started, and those that they started."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def wait_for(condition, what: str, seconds: float = 60):
    """What the condition gives, as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@dataclass
class Served:
    """A service that runs, and the keys of its callers by target and role."""

    project: AlembicProject
    process: "subprocess.Popen[str] | None"
    url: str
    keys: dict[tuple[str, str], str]
    client: Any = field(default_factory=lambda: httpx.Client(timeout=120, trust_env=False))

    def call(
        self,
        method: str,
        path: str,
        *,
        role: str | None = "admin",
        target: str = "dev",
        key: str | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, Any] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """One call as somebody with this role, or with this key, or with none."""
        key = key or (self.keys[target, role] if role is not None else None)
        sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
        where = path if path.startswith("/") and path.count("/") == 1 and "." in path else PREFIX + path
        return self.client.request(
            method,
            self.url + where,
            headers=sent,
            params={"target": target, **(params or {})},
            **more,
        )

    def good(self, method: str, path: str, **how: Any) -> Any:
        """The body of a call that must go well."""
        answer = self.call(method, path, **how)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, status: int, method: str, path: str, **how: Any) -> dict[str, Any]:
        """The problem of a call that must not."""
        answer = self.call(method, path, **how)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        assert problem["status"] == status
        assert problem["message"]
        assert "Traceback" not in answer.text
        return problem


def make_key(project: AlembicProject, name: str, role: str, target: str) -> str:
    """As an administrator makes one."""
    done = project.call("serve", "key", "create", name, "--role", role, "--target", target)
    assert done.code == 0, done.text
    return done.out.strip()


@contextmanager
def served(project: AlembicProject, keys: dict[tuple[str, str], str], *options: str) -> Iterator[Served]:
    """Start the service; at the end it is told to stop, and must."""
    log = (project.folder / "serve.log").open("a")
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *options],
        cwd=project.folder,
        env=project.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("Listening on http://"), (project.folder / "serve.log").read_text()
        yield Served(project, process, line.split()[2], keys)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        log.close()


class Application:
    """Calls the application itself, as httpx.Client calls a server; cookies are kept."""

    def __init__(self, service: Service, address: str = "127.0.0.1") -> None:
        self.service = service
        self.app = create_app(service)
        self.address = address
        self.cookies = httpx.Cookies()

    def request(self, method: str, url: str, **how: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            way = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.address, 1))
            async with httpx.AsyncClient(transport=way, cookies=self.cookies) as client:
                answer = await client.request(method, url, **how)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


@contextmanager
def served_here(
    project: AlembicProject, roles: dict[tuple[str, str], str], *, failures: int = 1000
) -> Iterator[Served]:
    """The application without a server, and what it has done without processes for it: quick.

    Args:
        project: it has a ledger.
        roles: the role of each key, by target and the name of whom it is for.
        failures: how many calls without a good key an address may make.
    """
    environ = project.environment()
    made = {}
    with project.ledger(create=True) as ledger:
        for (target, name), role in roles.items():
            made[target, name], _ = keys.create(
                ledger, name=name, role=Role(role), target=target, by="test", days=None
            )
    targets = {name: load(project.folder, environ, {"target": name}) for name in {t for t, _ in roles}}
    service = Service(project.folder, targets, failures)
    service.children.perform = lambda work: perform(work, project.folder, environ, Interrupt())
    try:
        yield Served(project, None, "http://localhost", made, Application(service))
    finally:
        service.close()

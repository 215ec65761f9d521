"""`ci-migrate` in a process of its own without the second that its start takes: one that has imported all forks it.

As a program it is that one; imported, it is the way to ask for a command.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import warm_worker
from in_memory import IN_MEMORY

import ci_migrate
from ci_migrate.migrations.forking import ForkServer

NOT_IMPORTED = tuple(
    f"ci_migrate.{name}"
    for name in (
        "__main__",
        "ledger.migrations",
        "migrations.worker.",
        "pytest_plugin",
        "server",
        "testing",
    )
)
"""What is run by path, and what few commands need."""
IMPORTED = (
    "psycopg",
    "pymysql",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
)


@cache
def _server() -> ForkServer:
    workers = warm_worker.template.control.fileno()
    return ForkServer([sys.executable, __file__, str(workers)], env=os.environ, cwd=None, pass_fds=[workers])


def run(
    arguments: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    stdin: str = "",
    timeout: float,
    faults: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """As `subprocess.run` with captured text; with `faults` those that the environment asks for strike in it."""
    child = _server().spawn()
    asked = {"argv": list(arguments), "cwd": str(folder), "env": dict(environ), "faults": faults}
    with ThreadPoolExecutor(3) as threads:
        streams = [threads.submit(pipe.readall) for pipe in (child.stdout, child.stderr)]
        threads.submit(_feed, child.stdin, json.dumps(asked).encode() + b"\n" + stdin.encode())
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            raise
        out, err = (stream.result(5).decode() for stream in streams)
    child.close()
    return subprocess.CompletedProcess(list(arguments), code, out, err)


def _feed(pipe, data: bytes) -> None:
    while data:
        data = data[os.write(pipe.fileno(), data) :]
    pipe.close()


def _run_once() -> None:
    """Run commands on a project of no interest: what SQLAlchemy and others then know is known in each fork."""
    from alembic_project import new_project

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        project = new_project(Path(folder) / "project")
        project.settings('[targets.dev]\nurl = "sqlite:///app.db"\n')
        for command in (["run"], ["status"], ["history"], ["rollback", "--to", "r1", "--yes"]):
            done = project.call(*command)
            assert done.code == 0, done.text
    for number, handler in handlers.items():
        signal.signal(number, handler)
    gc.collect()
    gc.freeze()
    assert threading.active_count() == 1, threading.enumerate()


def _prepare() -> None:
    """Import all, and have run: what all forks then need no time for."""
    import gate_with_faults  # noqa: F401

    for module in pkgutil.walk_packages(ci_migrate.__path__, "ci_migrate."):
        if not module.name.startswith(NOT_IMPORTED):
            importlib.import_module(module.name)
    for name in IMPORTED:
        with suppress(ImportError):
            importlib.import_module(name)
    warm_worker.install(int(sys.argv[1]))
    _run_once()


def main() -> None:
    import ci_migrate.cli
    import ci_migrate.commands.run
    from ci_migrate.migrations.worker.main import serve

    serve(socket.socket(fileno=os.dup(0)))
    line = b""
    while not line.endswith(b"\n"):
        line += (read := os.read(0, 1))
        if not read:  # who asked is gone
            os._exit(1)
    asked = json.loads(line)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8", closefd=False) for n in (1, 2))
    code = 1
    try:
        if asked["faults"]:
            import gate_with_faults

            gate_with_faults.install()
        code = ci_migrate.cli.run(asked["argv"])
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


if __name__ == "__main__":
    _prepare()
    main()

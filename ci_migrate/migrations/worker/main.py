"""From the request to the last event, and the server that forks a process for each request."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from contextlib import suppress
from select import select
from types import ModuleType
from typing import Any

from .alembic_env import make_config, run_env, tell_graph
from .channel import Channel
from .drivers import build_wall
from .failure import describe_failure
from .recording import Recorder
from .state import State


def serve() -> None:
    """Fork a child for each that the parent asks for, so that Python and Alembic start once; returns in each child.

    Nothing of the project is imported before the fork: no child sees what another one did. The parent sends a byte
    with the child's three standard streams, and is told the child's pid, later with how it ended. Ends with the parent.
    """
    with suppress(Exception):  # each child meets it again, and tells
        import alembic.command  # noqa: F401 - and with it SQLAlchemy
    control = socket.socket(fileno=os.dup(0))
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes)
    while True:
        ready = select([control.fileno(), ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            tell_ended(control)
        if control.fileno() in ready:
            word, streams, _, _ = socket.recv_fds(control, 1, 3)
            if not word:
                os._exit(0)
            pid = os.fork()
            if not pid:
                break
            for fd in streams:
                os.close(fd)
            control.sendall(b"%d\n" % pid)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    os.close(ended)
    os.close(wakes)
    os.setsid()
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)


def tell_ended(control: socket.socket) -> None:
    """Tell which children ended, and how: the exit code, or minus the signal."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        control.sendall(b"%d %d\n" % (pid, os.waitstatus_to_exitcode(status)))


def main() -> None:
    """Greet, take one request, do it, and say how it ended."""
    channel = Channel()
    import alembic
    import alembic.config
    import alembic.script
    import sqlalchemy

    channel.send(
        "hello",
        pid=os.getpid(),
        python=sys.version.split()[0],
        executable=sys.executable,
        alembic=alembic.__version__,
        sqlalchemy=sqlalchemy.__version__,
    )
    request: dict[str, Any] = json.loads(channel.line().decode("utf-8"))
    setup = request["setup"]
    os.environ.update(setup["environ"])
    sys.argv = ["alembic", setup["direction"], setup["destination"]]
    channel.agree(request["asks"])
    sys.modules["ci_migrate.guard"] = let_through()
    state = State(channel, request)
    try:
        obey(state)
    except BaseException as error:  # env.py may raise anything, SystemExit and KeyboardInterrupt included
        state.inputs.report()
        if isinstance(error, SystemExit) and error.code in (None, 0) and not state.inputs.refused:
            channel.send("finished", exited=True)
        else:
            channel.send("failed", **describe_failure(error, state))
    else:
        state.inputs.report()
        channel.send("finished", exited=False)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed by env.py
            stream.flush()
    os._exit(0)  # threads and atexit handlers of the application have no say


def let_through() -> Any:
    """The module that env.py asks whether plain Alembic may go on: here it is not plain.

    The project's interpreter may have no ci-migrate. Python finds a module in `sys.modules` before it looks for its
    package.
    """
    module: Any = ModuleType("ci_migrate.guard")
    module.refuse_plain_alembic = lambda _connection: None
    return module


def obey(state: State) -> None:
    """Do what the request says."""
    import alembic.script

    action = state.request["action"]
    state.inputs.watch()
    build_wall(state.wall)
    recorder = Recorder(state)
    recorder.listen()
    config = make_config(state.request["setup"])
    state.inputs.look_at_distributions()
    script = alembic.script.ScriptDirectory.from_config(config)
    state.blame.add_scripts(script)
    state.inputs.places.add_scripts([script.dir, *(script.version_locations or ())])
    if action in ("graph", "inspect"):
        tell_graph(state, script)
    if action != "graph":
        run_env(state, recorder, config, script)
    if action == "inspect" and not state.graph_told:
        state.env_ran = True
        tell_graph(state, script)
    state.inputs.refuse_again()

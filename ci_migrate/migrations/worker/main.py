"""From the request to the last event, and the server that forks a process for each request."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from select import select
from types import ModuleType
from typing import Any

from .alembic_env import make_config, run_env, tell_graph
from .backfills import offer_backfill
from .channel import Channel
from .drivers import build_wall
from .failure import describe_failure, hide_in_warnings
from .models import Tree, describe_models, import_models
from .recording import Recorder
from .squashed import put_in_place
from .state import State


def start() -> None:
    """Import Alembic, then fork children that take a request each; nothing of the project is imported before."""
    with suppress(Exception):  # each child meets it again, and tells
        import alembic.command  # noqa: F401 - and with it SQLAlchemy
    import_driver(*sys.argv[1:])
    control = socket.socket(fileno=os.dup(0))
    while serve(control) == SERVER:
        control = socket.socket(fileno=os.dup(0))
        settle(control)
    template = take_request(None)
    while True:  # a child that stays forks children in its turn
        serve(template.channel.give_away())
        template = take_request(template)


def import_driver(name: str = "") -> None:
    """Import what connects by URLs that begin so: a quarter of what a child would import itself, each time."""
    if not name:
        return
    with suppress(Exception):  # each child meets it again, and tells
        from sqlalchemy.engine import make_url

        dialect: Any = make_url(f"{name}://").get_dialect()
        (dialect.import_dbapi if hasattr(dialect, "import_dbapi") else dialect.dbapi)()


MOST_DESCRIPTORS = 253
"""Linux's SCM_MAX_FD."""

SERVER = b"s"
"""Asks for a child that is such a server itself, by its standard input."""


def serve(control: socket.socket) -> bytes:
    """Fork a child for each that the parent asks for; returns in each child what it was asked for.

    No child sees what another one did. The parent sends a byte with the child's three standard streams, and is told
    the child's pid, later with how it ended. Ends with the parent.
    """
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
    return word


def settle(control: socket.socket) -> None:
    """Become what the process that asked would have started: with its environment, in its folder, with its files.

    It sends how long what follows is, and with that the descriptors that this process only keeps.
    """
    size, _, flags, _ = socket.recv_fds(control, 8, MOST_DESCRIPTORS)
    if flags & socket.MSG_CTRUNC:  # a lock that is not held is none
        os._exit(1)
    text, left = b"", int.from_bytes(size, "big")
    while left:  # no byte more: those that follow come with descriptors
        more = control.recv(left)
        if not more:
            os._exit(0)
        text, left = text + more, left - len(more)
    told = json.loads(text)
    os.environ.clear()
    os.environ.update(told["environ"])
    time.tzset()
    os.chdir(told["directory"])
    import_driver(told["driver"])


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


def take_request(template: State | None) -> State:
    """Greet, take one request, do it, and say how it ended; returns where this process stays, to be forked."""
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
    offer_backfill()
    state = State(channel, request, template)
    hide_in_warnings(state)
    stays = False
    try:
        obey(state)
    except BaseException as error:  # env.py may raise anything, SystemExit and KeyboardInterrupt included
        state.inputs.report()
        refused = state.inputs.refused or state.inputs.wanted_program
        if isinstance(error, SystemExit) and error.code in (None, 0) and not refused:
            channel.send("finished", exited=True)
        else:
            channel.send("failed", **describe_failure(error, state))
    else:
        state.inputs.report()
        stays = state.reached and is_alone()
        channel.send("finished", exited=False, stays=stays)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed by env.py
            stream.flush()
    if not stays:
        os._exit(0)  # threads and atexit handlers of the application have no say
    gc.collect()
    gc.freeze()  # what is imported is not looked through again and again in each fork
    return state


def is_alone(patience: float = 0.5) -> bool:
    """Whether no thread of Python's is left beside this one and the channel's: a fork would lack it.

    Those of a driver or an event loop may take a moment to end. Idle ones of libraries in C (numpy's) are not seen;
    those libraries start them again in a fork.
    """
    until = time.monotonic() + patience
    while len(sys._current_frames()) > 2:
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def let_through() -> Any:
    """The module that env.py asks whether plain Alembic may go on: here it is not plain.

    The project's interpreter may have no ci-migrate. Python finds a module in `sys.modules` before it looks for its
    package.
    """
    module: Any = ModuleType("ci_migrate.guard")
    module.refuse_plain_alembic = lambda _connection: None
    return module


def tell_release(state: State, recorder: Recorder) -> None:
    """The models of another release: those that the request names, else those that its env.py gives to Alembic."""
    import alembic.script
    from sqlalchemy.engine import make_url

    request = state.request
    tree = Tree(request)
    tree.enter()
    tree.lead_files(state.wall.entries)
    if request["there"] or not request["named"]:
        config = make_config(request["setup"])
    if request["named"]:
        entry = request["setup"]["databases"][0]
        dialect = make_url(entry["dialect"] + "://").get_dialect()()
        found = describe_models(import_models(request["named"]), dialect)
        state.channel.send("release-models", database=entry["name"], search_path=None, **found)
    else:
        run_env(state, recorder, config, alembic.script.ScriptDirectory.from_config(config))
    tree.refuse_strays()


def obey(state: State) -> None:
    """Do what the request says."""
    import alembic.script

    action = state.request["action"]
    recorder = state.recorder
    if recorder is None:
        state.inputs.watch()
        build_wall(state.wall)
        recorder = state.recorder = Recorder(state)
        recorder.listen()
    else:
        recorder.turn_to(state)
    if action == "release-models":
        tell_release(state, recorder)
        return
    config = make_config(state.request["setup"])
    state.inputs.look_at_distributions()
    script = alembic.script.ScriptDirectory.from_config(config)
    squashed = state.request["setup"]["squashed"]
    if squashed["baseline"]:
        put_in_place(script, squashed)
        state.inputs.places.add_scripts([os.path.dirname(squashed["baseline"])])
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

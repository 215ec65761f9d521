"""The process that has imported what our child's interpreter imports, and is forked for each (see warm_worker.py).

It imports nothing of ours, of a project or of a test, so that what is forked is as good as what is started. A request is a message with
descriptors on a socket: where to answer (the pid, later how it ended), what is asked (JSON), standard input, standard
error, and what is passed on. It ends with the last process that may ask.
"""

import fcntl
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from select import select
from types import ModuleType

# what our child imports first of all; and an engine imports its dialect and its driver when it is made: once here
# instead of once in each child
import sqlalchemy.dialects.mysql
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite  # noqa: F401

for driver in ("psycopg", "psycopg2", "pymysql"):
    with suppress(ImportError):
        import_module(driver)

HIGH = 512
"""Above all descriptors that are asked for."""


def main(control: socket.socket) -> None:
    children: dict[int, socket.socket] = {}
    ended, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes)
    while True:
        ready = select([control, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 4096)
            _tell_ended(children)
        if control in ready:
            word, fds, _, _ = socket.recv_fds(control, 1, 64)
            if not word:
                os._exit(0)
            answers, asked = (socket.socket(fileno=fd) for fd in fds[:2])
            with asked, asked.makefile("rb") as file:
                text = file.read()
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                _become(json.loads(text), fds[2:])
            for fd in fds[2:]:
                os.close(fd)
            children[pid] = answers
            with suppress(OSError):
                answers.sendall(struct.pack("i", pid))


def _tell_ended(children: dict[int, socket.socket]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with children.pop(pid) as answers, suppress(OSError):
            answers.sendall(struct.pack("i", os.waitstatus_to_exitcode(status)))


def _become(asked: dict, fds: list[int]) -> None:
    """In the forked process: what `python PROGRAM` would be. Does not return."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_WRONLY)
        stdin, stderr, *passed = (fcntl.fcntl(fd, fcntl.F_DUPFD, HIGH) for fd in (*fds, null))
        wanted = {0: stdin, 1: passed.pop(), 2: stderr, **dict(zip(asked["fds"], passed, strict=True))}
        for number, fd in wanted.items():
            os.dup2(fd, number)
        keep = sorted(wanted)
        for low, next_kept in zip(keep, [*keep[1:], HIGH + 64], strict=True):
            os.closerange(low + 1, next_kept)
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.modules["__main__"] = module = ModuleType("__main__")
        sys.argv = asked["program"]
        if sys.argv[0] == "-c":
            sys.path[0], source, name = "", asked["program"][1], "<string>"
        else:
            sys.path[0], source, name = (
                str(Path(sys.argv[0]).parent),
                Path(sys.argv[0]).read_text(),
                sys.argv[0],
            )
            module.__file__ = name
        exec(compile(source, name, "exec"), vars(module))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

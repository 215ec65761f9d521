"""The child's interpreter without the second that Python and Alembic take to start: one per test process forks it.

What is forked is as fresh as what is started: nothing of the project, of ci-migrate or of a test is imported in it
(see worker_template.py). Where an interpreter must really start (another Python, variables that Python reads at its
start), one does.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from select import select

from ci_migrate import process

PROGRAM = Path(__file__).with_name("worker_template.py")
READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")
"""Variables that an interpreter, or what it is linked to, reads when it starts."""

start_process = process.popen


def is_worker(argv: Sequence[str]) -> bool:
    """It is our child, in the interpreter that runs the tests: its source as an argument, or its file."""
    interpreter, *program = argv
    return interpreter == sys.executable and (
        (program[0] == "-c" and "<ci-migrate worker>" in program[1])
        or program[0].endswith("/ci_migrate/migrations/worker/__main__.py")
    )


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if k.startswith(READ_AT_START)}


class Template:
    """The process that forks. Starts when it is first needed; what is forked off this process may use it too."""

    def __init__(self, control: socket.socket | None = None) -> None:
        self._control = control
        self.environ = {"PYTHONHASHSEED": "0", **os.environ}
        self._lock = threading.Lock()

    @property
    def control(self) -> socket.socket:
        with self._lock:
            if self._control is None:
                # a message is read as a whole: two processes may ask at once
                self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    subprocess.Popen(
                        [sys.executable, str(PROGRAM), str(theirs.fileno())],
                        env=self.environ,
                        cwd="/",
                        stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL,
                        pass_fds=[theirs.fileno()],
                        start_new_session=True,
                    )
            return self._control

    def fork(
        self,
        program: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        pass_fds: Sequence[int],
        stdin: int,
    ) -> "Borrowed":
        answers, theirs = socket.socketpair()
        errors, stderr = os.pipe()
        ours, asked = socket.socketpair()
        request = {
            "program": list(program),
            "env": dict(env),
            "cwd": os.fspath(cwd or Path.cwd()),
            "fds": list(pass_fds),
        }
        with theirs, asked, ours:
            socket.send_fds(self.control, [b"."], [theirs.fileno(), asked.fileno(), stdin, stderr, *pass_fds])
            os.close(stderr)
            ours.sendall(json.dumps(request).encode())
        pid = answers.recv(4)
        if not pid:
            raise RuntimeError("the process that forks workers is gone")
        return Borrowed(struct.unpack("i", pid)[0], answers, errors)


class Borrowed:
    """A process that another one forked for us; as `subprocess.Popen`, as far as `ForkServer` needs it."""

    stdin = stdout = None

    def __init__(self, pid: int, answers: socket.socket, errors: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stderr = open(errors, "rb", buffering=0)  # noqa: SIM115 - the caller's to close
        self._answers = answers
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._lock:
            if self.returncode is None:
                if not select([self._answers], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0)
                code = self._answers.recv(4)
                self._answers.close()
                self.returncode = struct.unpack("i", code)[0] if code else -signal.SIGKILL
            return self.returncode


template = Template()


def spawn(kind, argv, *, env, cwd, pass_fds, stdin, stdout):
    """`process.popen`, but a worker is forked."""
    if is_worker(argv) and _read_at_start(env) == _read_at_start(template.environ):
        return template.fork(argv[1:], env=env, cwd=cwd, pass_fds=pass_fds, stdin=stdin)
    return start_process(kind, argv, env=env, cwd=cwd, pass_fds=pass_fds, stdin=stdin, stdout=stdout)


def install(control: int | None = None) -> None:
    """From here on this process, and each that is forked off it, has its workers forked.

    `control` is the descriptor of a template that runs.
    """
    global template  # noqa: PLW0603 - one per process
    if control is not None:
        template = Template(socket.socket(fileno=control))
    process.popen = spawn

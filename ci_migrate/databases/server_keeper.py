"""Run by its path, in a process of its own: starts a database server, and ends it when whoever asked for it is gone.

    python -I server_keeper.py ACCOUNT SIGNAL PROGRAM ARGUMENT ...

ACCOUNT is whom the server runs as ("" for our own), SIGNAL the number of the signal that ends it. Standard input is the
line to who asked: it ends with them, also where they were killed. With SIGNAL 0 the program is only run as ACCOUNT.
"""

import ctypes
import os
import pwd
import select
import signal
import sys
import time
from contextlib import suppress

GRACE = 8.0
"""Seconds that a server gets to end."""

PR_SET_PDEATHSIG = 1
"""<linux/prctl.h>."""


def become(account: str) -> None:
    """Take another account's rights, and give ours away; "" keeps them."""
    if account:
        entry = pwd.getpwnam(account)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


def end_with(parent: int, ending: int) -> None:
    """Let the kernel end this process when its parent is gone, where it can: somebody may kill the keeper itself."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a libc without it
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, ending, 0, 0, 0)
        if os.getppid() != parent:  # it was killed before that
            os._exit(127)


def keep(account: str, ending: int, argv: list[str]) -> int:
    """Run a server until standard input or the server itself ends; returns its exit code."""
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()  # signals to our group are ours: the server gets the one that it ends well with
            become(account)
            end_with(keeper, ending)  # a change of account would take it back
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.execv(argv[0], argv)  # noqa: S606 - that is its purpose
        except OSError as error:
            sys.stderr.write(f"FATAL: {argv[0]}: {error}\n")
        finally:
            os._exit(127)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(pid, ending))
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if select.select([0], [], [], 0.1)[0] and not os.read(0, 1):
            return _end(pid, ending)
    return os.waitstatus_to_exitcode(ended[1])


def _end(pid: int, ending: int) -> int:
    os.kill(pid, ending)
    deadline = time.monotonic() + GRACE
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > deadline:
            os.killpg(pid, signal.SIGKILL)
            ended = os.waitpid(pid, 0)
            break
        time.sleep(0.02)
    os._exit(abs(os.waitstatus_to_exitcode(ended[1])))


if __name__ == "__main__":
    ACCOUNT, ENDING, *ARGV = sys.argv[1:]
    if ENDING == "0":
        become(ACCOUNT)
        os.execv(ARGV[0], ARGV)  # noqa: S606 - see above
    sys.exit(abs(keep(ACCOUNT, int(ENDING), ARGV)))

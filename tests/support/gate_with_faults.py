"""`ci-migrate ...` with a fault: a script that tests start in the place of the command, or `install` in a fork of it.

Nothing of this is in production.

FAULT is `<who>:<moment>:<number>`: who is killed (child, parent, both), whether before or after the journal has
taken the event in, and at which event of the migration. FAULT_EVENTS names a file that gets one event a line.
FAULT_CALL is `<module>:<function or Class.method>:<before or after>`: this process is killed before or after that call.
FAULT_WRITE is Python that plays another client of the database; it runs just before the migration's first statement.
"""

import importlib
import os
import signal
import subprocess
import sys

from ci_migrate.migrations import events
from ci_migrate.migrations.runner import Workers
from ci_migrate.repairs.watcher import Watcher

COUNTED = (events.StatementStarted, events.Committing, events.Committed, events.Finished)
"""The child stands still at these: what lies between two of them can't be told apart from outside."""
original, original_run = Watcher.handle, Workers.run
who, moment, number = os.environ.get("FAULT", "nobody:never:0").split(":")
child: list[int] = []
seen: list[str] = []


def strike() -> None:
    open(os.environ["FAULT_STRUCK"], "w").close()
    if who in ("child", "both"):
        os.kill(child[-1], signal.SIGKILL)
    if who in ("parent", "both"):
        os.kill(os.getpid(), signal.SIGKILL)


def handle(self, event):
    if isinstance(event, events.Hello):
        child.append(event.pid)
    if not isinstance(event, COUNTED):
        return original(self, event)
    detail = getattr(event, "sql", "") or getattr(event, "revision", None) or ""
    seen.append(f"{type(event).__name__} {' '.join(detail.split())[:60]}")
    if "FAULT_EVENTS" in os.environ:
        with open(os.environ["FAULT_EVENTS"], "a") as file:
            file.write(seen[-1] + "\n")
    if len(seen) == int(number) and moment == "before":
        strike()
    word = original(self, event)
    if len(seen) == int(number) and moment == "after":
        strike()
    return word


def run(self, request, *arguments, **keywords):
    if "FAULT_WRITE" in os.environ and request.mode == "migrate" and not child:
        subprocess.run([sys.executable, "-c", os.environ["FAULT_WRITE"]], check=True)
    return original_run(self, request, *arguments, **keywords)


def kill_at_call(module: str, name: str, when: str) -> None:
    place = importlib.import_module(module)
    *holders, name = name.split(".")  # a function of the module, or a method as Class.method
    for holder in holders:
        place = getattr(place, holder)
    real = getattr(place, name)

    def killing(*arguments, **keywords):
        if when == "after":
            real(*arguments, **keywords)
        open(os.environ["FAULT_STRUCK"], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, name, killing)


def install() -> None:
    """From here on the fault that the environment asks for strikes in this process."""
    global who, moment, number
    who, moment, number = os.environ.get("FAULT", "nobody:never:0").split(":")
    Watcher.handle, Workers.run = handle, run
    os.environ["FAULT_GATE"] = str(os.getpid())  # for a child that takes it along
    if "FAULT_CALL" in os.environ:
        kill_at_call(*os.environ["FAULT_CALL"].split(":"))


if __name__ == "__main__":
    from ci_migrate.__main__ import main

    install()
    main()

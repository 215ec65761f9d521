"""Run by its path: runs a command of a provider, watches it, and kills it in the middle if it is told to.

    python held_command.py NOTES SECONDS WHO PROGRAM ARGUMENT ...

NOTES gets a JSON object: the `seconds` that the command took, whether it was `killed`, and whether the password of the
target's URL was an argument of it or of what it started, or of a command before it (`shown`). SECONDS after its start
the command is killed with all that it started; 0 for never. With WHO "both" whoever asked for it is killed, too.
"""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit


def is_shown(password: str, session: int) -> bool:
    """Whether a password stands in the command line of a process of a session, where the system tells."""
    written = {password.encode(), unquote(password).encode()} - {b""}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                line = (folder / "cmdline").read_bytes()
                if any(text in line for text in written):
                    return True
    return False


def hold(notes: Path, seconds: float, who: str, argv: list[str]) -> int:
    """Run a command; returns its exit code."""
    begun = time.monotonic()
    asked = os.getppid()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()  # a group of its own, to be killed with all in it
            os.execvp(argv[0], argv)  # noqa: S606 - that is its purpose
        except OSError as error:
            sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        finally:
            os._exit(127)
    password = urlsplit(os.environ.get("CI_MIGRATE_PROVIDER_URL", "")).password or ""
    shown, killed = notes.exists() and json.loads(notes.read_text(encoding="utf-8"))["shown"], False
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        shown = shown or is_shown(password, pid)
        if seconds and not killed and time.monotonic() - begun > seconds:
            killed = True
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.01)
    told = {"seconds": time.monotonic() - begun, "killed": killed, "shown": shown}
    notes.write_text(json.dumps(told), encoding="utf-8")
    if killed and who == "both":
        os.kill(asked, signal.SIGKILL)
    return 1 if killed else os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    NOTES, SECONDS, WHO, *ARGV = sys.argv[1:]
    sys.exit(abs(hold(Path(NOTES), float(SECONDS), WHO, ARGV)))

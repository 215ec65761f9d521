"""A database server of our own for scratch copies: on this machine, reached by a socket alone, gone when we are."""

import os
import pwd
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from sqlalchemy import URL

from ci_migrate.errors import BackupError, DatabaseError
from ci_migrate.process import Child, Tail, TimeoutExpired, run_tool, running
from ci_migrate.settings.secrets import hide_secrets
from ci_migrate.tempdirs import private_folder

KEEPER = Path(__file__).with_name("server_keeper.py")

REMOTE = ".isl"
"""Of files that say where InnoDB's tables with a DATA DIRECTORY are.

https://mariadb.com/docs/server/server-usage/storage-engines/innodb/innodb-tablespaces/innodb-file-per-table-tablespaces
"""

LONGEST = 88
"""Bytes of a socket's folder: the path of a socket has 107 at most on Linux, 103 on macOS."""

ENDS_IN = 12.0
"""Seconds in which the keeper ends its server; it has 8 of its own."""

_WORDS = ("FATAL", "PANIC", "[ERROR]", "error:", "ERROR")
"""What stands in the line of a server's log that says why it ended."""

_EARLY = ("the database system is", "not accepting connections")
"""What stands in a line about a session of ours that came too early: `starting up`, `in recovery mode`."""


@runtime_checkable
class RunsServers(Protocol):
    """What a Database may do besides: run servers of our own for scratch copies, on this machine.

    Each listens at a socket in a private folder, to no network, and is gone when the block is left or this process
    ends. Both methods raise DatabaseError where one does not start, and ToolError where its programs are not here.
    """

    def new_server(self) -> AbstractContextManager[URL]:
        """A new server like the target's. Yields a URL on which `scratch` makes copies."""

    def server_on(self, data: Path, within: Path) -> AbstractContextManager[URL]:
        """A server on a copy of the files of the target's server, which is changed. Yields the copied database's URL.

        All that links in the folder lead to must lie `within`: in the folder itself, or in one of ours around it.

        Raises BackupError where the folder holds no such copy.
        """


def refuse_unfit_folder(data: Path, live: str | None, mark: str, *, within: Path) -> None:
    """Raise BackupError where a folder is no copy of a server's files, or leads to files that are none.

    A tablespace or a log elsewhere is reached by a link: a server on the copy would write to the live one's.

    Args:
        data: the folder.
        live: where the target's server has its own; None where it does not tell.
        mark: a file that each copy has.
        within: where all of the copy lies: the folder itself, or one around it that is ours.
    """
    hint = "Let provider-clone print the path of a copy that nobody else uses (docs/physical-backups.md)."
    if not (data / mark).is_file():
        raise BackupError(f"{data} is not a server's data folder: it has no {mark}.", hint=hint)
    with suppress(OSError):
        if live is not None and Path(live).samefile(data):
            raise BackupError(f"{data} is the data folder of the target's own server.", hint=hint)
    real = within.resolve()
    shared: dict[tuple[int, int], list[Path]] = {}
    for place, folders, files in os.walk(within):
        for name in (*folders, *files):
            path = Path(place, name)
            leads_out = path.is_symlink() and not path.resolve().is_relative_to(real)
            if leads_out or path.suffix == REMOTE:
                raise BackupError(
                    f"{path} leads out of the copied folder: a server on it would write to {_led_to(path)}.",
                    hint="Let provider-clone copy what such links lead to (tablespaces, a log) below {folder} as well, "
                    "and make them lead there (docs/physical-backups.md).",
                )
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                shared.setdefault((status.st_dev, status.st_ino), []).append(path)
    for paths in shared.values():
        if paths[0].lstat().st_nlink > len(paths):
            raise BackupError(
                f"{paths[0]} is the same file as one outside of the copied folder (a hard link): a server on it would "
                "write to that, too.",
                hint="Let provider-clone copy the files (cp -a --reflink=auto), not link them.",
            )


def _led_to(path: Path) -> str:
    return str(path.resolve()) if path.is_symlink() else "the folder that it names"


@contextmanager
def server_folder(account: str) -> Iterator[Path]:
    """A new private folder for a server that runs as this account; removed when the block is left.

    Raises:
        DatabaseError: its path is too long for a socket, or would be taken for several.
    """
    with private_folder() as folder:
        if "," in str(folder):  # PostgreSQL would listen in two folders, neither of them private
            raise DatabaseError(
                f"The path {folder} has a comma: PostgreSQL takes it for two.",
                hint="Set TMPDIR to a folder without one.",
            )
        if len(os.fsencode(folder)) > LONGEST:
            raise DatabaseError(
                f"The path {folder} is too long for the socket of a database server.",
                hint="Set TMPDIR to a folder with a shorter path.",
            )
        give(folder, account)
        yield folder


def give(folder: Path, account: str) -> None:
    """Make an account the owner of a folder and all in it, and let it come there; "" for none but us.

    Raises:
        DatabaseError: that may not be done.
    """
    if not account:
        return
    entry = pwd.getpwnam(account)
    try:
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for place, folders, files in os.walk(folder):
            for name in (*folders, *files):
                os.chown(Path(place, name), entry.pw_uid, entry.pw_gid, follow_symlinks=False)
        temporary = Path(tempfile.gettempdir()).resolve()
        for parent in folder.resolve().parents:
            if not parent.is_relative_to(temporary) or parent == temporary:
                break
            parent.chmod(parent.stat().st_mode | 0o011)  # may be passed, not read
    except OSError as error:
        raise DatabaseError(f"{folder} can't be given to {account}: {error.strerror}.") from error


def run_as(account: str, argv: Sequence[str], environ: Mapping[str, str]) -> None:
    """Run a program to its end as another account. Raises ToolError."""
    run_tool([*_keeper(account, 0), *argv], env=environ, inherit=False)


@contextmanager
def serving(
    account: str, ending: int, argv: Sequence[str], environ: Mapping[str, str], up: Callable[[], bool]
) -> Iterator[None]:
    """A server that runs until the block is left; it ends with this process, whatever ends that.

    Args:
        account: whom it runs as; "" for our own.
        ending: the signal that ends it.
        argv: program and arguments.
        environ: all of its environment.
        up: whether it answers by now; raises where it answers and lets nobody in.

    Raises:
        DatabaseError: it ended instead of answering, with the line of its log that says why; or as `up`.
    """
    with running([*_keeper(account, ending), *argv], env=environ, inherit=False) as child:
        tails = Tail(child.stderr), Tail(child.stdout)
        try:
            _wait(child, up, Path(argv[0]).name, tails)
            yield
        finally:
            child.stdin.close()
            with suppress(TimeoutExpired):
                child.wait(ENDS_IN)
            for tail in tails:
                tail.text()


def _keeper(account: str, ending: int) -> list[str]:
    return [sys.executable, "-I", str(KEEPER), account, str(ending)]


def _wait(child: Child, up: Callable[[], bool], name: str, tails: Sequence[Tail]) -> None:
    while not up():
        if child.poll() is not None:
            said = "\n".join(tail.text() for tail in tails)
            raise DatabaseError(
                f"A server of our own ({name}) did not start: {hide_secrets(why_of(said))}",
                hint='Let scratch copies live elsewhere: scratch = "server", or a URL; a clone: let provider-clone '
                "print a URL.",
            )
        time.sleep(0.05)


def why_of(log: str) -> str:
    """The line of a server's log that says why it ended."""
    lines = [line.strip() for line in log.splitlines() if not any(words in line for words in _EARLY)]
    lines = [line for line in lines if line] or ["it said nothing"]
    found = next((n for n, line in enumerate(lines) if any(word in line for word in _WORDS)), -1)
    # PostgreSQL says above that a file `contains errors` which ones
    return (
        " ".join(lines[max(found - 1, 0) : found + 1]) if "contains errors" in lines[found] else lines[found]
    )

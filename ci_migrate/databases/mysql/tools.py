"""mariadb-dump, mysqldump and the clients: which ones to use, and running them without a secret in their arguments."""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ci_migrate.databases.mysql.flavours import Flavour
from ci_migrate.databases.mysql.sessions import Access
from ci_migrate.errors import BackupError, ToolError
from ci_migrate.process import Child, Tail, end_group, run_tool, running

DUMP = "dump"
CLIENT = "client"

PROGRAMS = {
    ("MariaDB", DUMP): ("mariadb-dump", "mysqldump"),
    ("MariaDB", CLIENT): ("mariadb", "mysql"),
    ("MySQL", DUMP): ("mysqldump",),
    ("MySQL", CLIENT): ("mysql",),
}
"""What the programs are called. `mysqldump` may be either flavour's: its version tells."""

SYSTEM = (Path("/usr/bin"), Path("/usr/local/bin"), Path("/usr/local/mysql/bin"), Path("/opt/mysql/bin"))
"""Folders of distributions and of the vendors' packages, looked at after PATH."""

PACKAGES = {"MariaDB": "mariadb-client", "MySQL": "mysql-client"}

_CHUNK = 1 << 20

WATCH_SECONDS = 0.25
"""How often a dump is looked after."""

ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    # read even where an option file is given as the only one
    "MYSQL_TEST_LOGIN_FILE": os.devnull,
    "MYSQL_PWD": "",
}


@dataclass(frozen=True)
class Tool:
    """A program of one flavour: `version` (10, 11), `text` `10.11.6`."""

    path: Path
    flavour: str
    version: tuple[int, int]
    text: str

    @property
    def mariadb(self) -> bool:
        """Whether it is MariaDB's."""
        return self.flavour == "MariaDB"

    @property
    def words(self) -> str:
        """`mariadb-dump 10.11.6 (/usr/bin/mariadb-dump)`."""
        return f"{self.path.name} {self.text} ({self.path})"


def find_tool(kind: str, server: Flavour, folder: str | None = None) -> Tool:
    """The program to use for a server: of its flavour, and not older than it.

    The configured folder alone, if there is one; else PATH, then the folders of `SYSTEM`.

    Args:
        kind: `DUMP` or `CLIENT`.
        server: the server's flavour and version.
        folder: the setting `client-tools`.

    Raises:
        ToolError: none is there, or all are too old or the other flavour's; with what to install.
    """
    names = PROGRAMS[server.name, kind]
    found = [tool for path in _candidates(names, folder) if (tool := _probe(path)) is not None]
    wanted = f"{server.version[0]}.{server.version[1]}"
    for tool in found:
        if tool.flavour == server.name and tool.version >= server.version:
            return tool
    hint = (
        f"Install {PACKAGES[server.name]} {wanted} or newer, or set `client-tools` to the folder that has it."
    )
    if not found:
        where = folder or f"PATH, {', '.join(map(str, SYSTEM))}"
        raise ToolError(f"{' or '.join(names)} was not found in {where}.", hint=hint)
    same = [tool for tool in found if tool.flavour == server.name]
    if not same:
        raise ToolError(
            f"{found[0].path} is {found[0].flavour}'s ({found[0].text}), and the server is {server.name} {wanted}.",
            hint=hint,
        )
    newest = max(same, key=lambda tool: tool.version)
    raise ToolError(
        f"{newest.path} is version {newest.text}, older than the server ({server.name} {wanted}).", hint=hint
    )


def _candidates(names: Sequence[str], folder: str | None) -> Iterator[Path]:
    if folder is not None:
        yield from (path for name in names if (path := Path(folder) / name).exists())
        return
    on_path = [Path(found) for name in names if (found := shutil.which(name))]
    there = (place / name for place, name in product(SYSTEM, names))
    yield from dict.fromkeys([*on_path, *(path for path in there if path.exists())])


def _probe(path: Path) -> Tool | None:
    """The program's flavour and version; None if it does not run."""
    try:
        said = run_tool([str(path), "--version"], timeout=20)
    except ToolError:
        return None
    # `Ver 10.19 Distrib 10.11.6-MariaDB`, `from 11.4.2-MariaDB, client 10.19`, `Ver 8.0.36 for Linux`
    found = re.search(r"(\d+)\.(\d+)\.\d+(?=-MariaDB)", said, re.IGNORECASE)
    flavour = "MariaDB" if found else "MySQL"
    found = (
        found or re.search(r"Distrib (\d+)\.(\d+)\.\d+", said) or re.search(r"Ver (\d+)\.(\d+)\.\d+", said)
    )
    if found is None:
        return None
    text = re.sub(r"^(Distrib|Ver) ", "", found[0])
    return Tool(path=path, flavour=flavour, version=(int(found[1]), int(found[2])), text=text)


# --------------------------------------------------------------------------- how they reach the server


def _quote(value: str) -> str:
    """A value for an option file."""
    for char, written in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        value = value.replace(char, written)
    return f'"{value}"'


def options(access: Access, tool: Tool) -> list[tuple[str, str]]:
    """How `tool` connects to where `access` leads, as lines of an option file."""
    given = access.parameters
    lines = [("user", given["user"]), ("password", given["password"])]
    if given.get("unix_socket"):
        lines.append(("socket", given["unix_socket"]))
    else:
        # `localhost` would be a socket to the client, and is none to PyMySQL
        lines += [("host", given["host"]), ("port", given["port"]), ("protocol", "tcp")]
    lines += [
        (name.replace("_", "-"), given[name]) for name in ("ssl_ca", "ssl_cert", "ssl_key") if name in given
    ]

    def asked(name: str) -> bool:
        return given.get(name, "").lower() in ("1", "true", "yes", "on")

    if tool.mariadb:
        lines.append(("ssl-verify-server-cert", "1" if asked("ssl_verify_identity") else "0"))
        lines += [("ssl", "0")] if asked("ssl_disabled") else []
    elif asked("ssl_disabled"):
        lines.append(("ssl-mode", "DISABLED"))
    elif asked("ssl_verify_identity") or asked("ssl_verify_cert"):
        lines.append(("ssl-mode", "VERIFY_IDENTITY" if asked("ssl_verify_identity") else "VERIFY_CA"))
    return lines


@contextmanager
def option_file(
    access: Access, tool: Tool, more: Iterable[tuple[str, str]] = ()
) -> Iterator[tuple[str, tuple[int]]]:
    """The first argument and the descriptor that lead a program to its option file.

    The file has no name: a run that is killed leaves no password behind.
    """
    with tempfile.TemporaryFile("w+", prefix="ci-migrate-", encoding="utf-8") as file:
        file.write("[client]\n")
        file.writelines(f"{name}={_quote(value)}\n" for name, value in options(access, tool))
        file.write(f"[{tool.path.name}]\n")
        file.writelines(f"{name}={_quote(value)}\n" for name, value in more)
        file.flush()
        file.seek(0)
        yield f"--defaults-file=/dev/fd/{file.fileno()}", (file.fileno(),)


# --------------------------------------------------------------------------- running them


def read_from(
    tool: Tool,
    arguments: Sequence[str],
    access: Access,
    sink: Callable[[bytes], object],
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run a dump to its end, and give `sink` what it writes; `watch` is called while nothing comes.

    Raises:
        BackupError: it failed; with its first error.
    """
    with (
        option_file(access, tool) as (first, descriptors),
        running([str(tool.path), first, *arguments], env=ENVIRONMENT, pass_fds=descriptors) as child,
    ):
        child.stdin.close()
        complaints = Tail(child.stderr)
        try:
            with _watch(child, watch) as problems:
                while data := os.read(child.stdout.fileno(), _CHUNK):
                    sink(data)
            if problems:
                raise problems[0]
            code = child.wait()
        finally:
            if child.poll() is None:
                end_group(child)
            printed = complaints.text()
        if code:
            raise BackupError(f"{tool.path.name} {_describe_end(code)}: {_first_error(printed)}")


@contextmanager
def _watch(child: Child, watch: Callable[[], None]) -> Iterator[list[Exception]]:
    """Call `watch` four times a second meanwhile; if it raises, the child is ended and the error is in the list."""
    done = threading.Event()
    problems: list[Exception] = []

    def look() -> None:
        while not done.wait(WATCH_SECONDS):
            try:
                watch()
            except Exception as error:  # noqa: BLE001 - raised by who waits for the child
                problems.append(error)
                end_group(child)
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield problems
    finally:
        done.set()
        thread.join()


def write_to(tool: Tool, arguments: Sequence[str], access: Access, source: Iterable[bytes]) -> None:
    """Run a client on `source` to its end.

    Raises:
        BackupError: it failed; with its first error. What `source` raises goes through.
    """
    with (
        option_file(access, tool) as (first, descriptors),
        running([str(tool.path), first, *arguments], env=ENVIRONMENT, pass_fds=descriptors) as child,
    ):
        tails = (Tail(child.stderr), Tail(child.stdout))
        try:
            for data in source:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(child.stdin.fileno(), rest) :]
            child.stdin.close()
            code = child.wait()
        except BrokenPipeError:
            code = child.wait()  # it has stopped, and says why
        finally:
            if child.poll() is None:
                end_group(child)
            printed = "\n".join(tail.text() for tail in tails)
        if code:
            raise BackupError(f"{tool.path.name} {_describe_end(code)}: {_first_error(printed)}")


def _describe_end(code: int) -> str:
    return f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _first_error(printed: str) -> str:
    """The first error, without the row that it stands in."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if re.search(r"\b(ERROR|error|Got error)\b", line)]
    return " ".join((errors or lines[-1:])[0].split())[:500]

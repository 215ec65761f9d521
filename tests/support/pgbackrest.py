"""A PostgreSQL server whose WAL pgBackRest archives."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from in_memory import IN_MEMORY
from postgresql_server import PostgreSQLServer, run_postgresql

OPTIONS = ("repo1-retention-full=2", "start-fast=y", "log-level-console=warn")


@contextmanager
def archived_server(
    binaries: Path, *, place: str | None = None, settings: tuple[str, ...] = ()
) -> Iterator[tuple[PostgreSQLServer, dict[str, str]]]:
    """A server for the stanza `shop`, and the variables that pgBackRest needs. Its data lie in memory, or in `place`."""
    # the server archives as its own account, and a copy of it reads the archive as another one: pytest's folder is closed
    rest = Path(tempfile.mkdtemp(prefix="cim-rest-", dir=place))
    config = rest / "pgbackrest.conf"
    own = ["pgbackrest", f"--config={config}", "--stanza=shop"]
    archive = ("archive_mode=on", f"archive_command={' '.join(own)} archive-push %p")
    try:
        with run_postgresql(binaries, place=place or IN_MEMORY, settings=(*archive, *settings)) as server:
            folders = [rest / name for name in ("repo1", "log", "spool", "lock")]
            for folder in folders:
                folder.mkdir()
            paths = [f"{folder.name}-path={folder}" for folder in folders]
            stanza = [
                f"pg1-path={server.data}",
                f"pg1-port={server.port}",
                f"pg1-socket-path={server.sockets}",
            ]
            lines = ["[global]", *paths, *OPTIONS, "[shop]", *stanza, "pg1-user=postgres", ""]
            config.write_text("\n".join(lines))
            subprocess.run([*own, "stanza-create"], check=True)
            subprocess.run(["chmod", "-R", "a+rwX", str(rest)], check=True)
            subprocess.run([*own, "check"], check=True)
            # the server's account and ours share the repository: what ours makes there, that one may read
            wrapper = rest / "bin" / "pgbackrest"
            wrapper.parent.mkdir()
            real = shutil.which("pgbackrest")
            wrapper.write_text(f'#!/bin/sh\n{real} "$@"\ncode=$?\nchmod -R a+rwX {rest}\nexit $code\n')
            wrapper.chmod(0o755)
            path = f"{wrapper.parent}:{os.environ['PATH']}"
            yield server, {"PGBACKREST_CONFIG": str(config), "PATH": path}
    finally:
        shutil.rmtree(rest, ignore_errors=True)

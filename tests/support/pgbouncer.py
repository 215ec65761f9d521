"""A real PgBouncer before a real server: `.ci/install-pgbouncer` puts it into a folder."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mysql_server import PASSWORD, ROOT, free_port
from postgresql_server import PostgreSQLServer


def pgbouncer_program() -> str | None:
    """In the folder `pgbouncer` of TEST_SERVERS (or `.servers`), or the system's."""
    own = Path(os.environ.get("TEST_SERVERS") or ROOT / ".servers") / "pgbouncer" / "bin"
    return shutil.which("pgbouncer", path=f"{own}:{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(program: str, server: PostgreSQLServer, mode: str, *settings: str) -> Iterator[int]:
    """Its port.

    Args:
        program: the executable.
        server: where it leads, under the same names.
        mode: `session`, `transaction` or `statement`.
        settings: more lines of its section `pgbouncer`.
    """
    folder, port = Path(tempfile.mkdtemp(prefix="cim-pgb-")), free_port()
    try:
        quoted = PASSWORD.replace('"', '""')
        (folder / "users").write_text(f'"postgres" "{quoted}"\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {folder / 'users'}\n"
            f"pool_mode = {mode}\ndefault_pool_size = 2\n" + "".join(f"{line}\n" for line in settings)
        )
        argv = [program, str(folder / "ini")]
        if os.getuid() == 0:  # it refuses to run as root
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, "nobody", "nogroup")
            argv = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *argv]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + 20
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((folder / "log").read_text(errors="replace"))
                time.sleep(0.02)
            yield port
            sys.stderr.write((folder / "log").read_text(errors="replace"))
        finally:
            process.terminate()
            process.wait(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

#!/usr/bin/env python3
"""Physical backups of a MariaDB server by mariadb-backup, for `provider = "command"`.

    mariadb.py create STORE ID         mariadb.py clone STORE ID FOLDER
    mariadb.py delete STORE ID

Runs on the server's machine, as a user that may read its data folder. The account in the URL needs
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.*. On btrfs and XFS a clone takes no time.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def options() -> str:
    """The target's URL as an option file: an argument would show the password to everybody."""
    url = urlsplit(os.environ["CI_MIGRATE_PROVIDER_URL"])
    socket = parse_qs(url.query).get("unix_socket", [""])[-1]
    given = {
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "socket": socket,
        "host": "" if socket else url.hostname,
        "port": "" if socket else str(url.port or 3306),
    }
    escaped = {
        name: str(value).replace("\\", "\\\\").replace('"', '\\"') for name, value in given.items() if value
    }
    return "\n".join(["[mariadb-backup]", *(f'{name}="{value}"' for name, value in escaped.items()), ""])


def main(verb: str, store: str, name: str, folder: str = "") -> None:
    backup, begun = Path(store, name), Path(store, f"{name}.new")
    if verb == "create":
        with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
            file.write(options())
            file.flush()
            take = [f"--defaults-extra-file={file.name}", "--backup", f"--target-dir={begun}"]
            subprocess.run(["mariadb-backup", *take], check=True, stdout=sys.stderr)
        subprocess.run(
            ["mariadb-backup", "--prepare", f"--target-dir={begun}"], check=True, stdout=sys.stderr
        )
        begun.rename(backup)  # what a killed one leaves is no backup
        print(name)
    elif verb == "clone":
        copy = Path(folder, "data")
        subprocess.run(["cp", "-a", "--reflink=auto", str(backup), str(copy)], check=True)
        print(copy)
    elif verb == "delete" and backup.exists():  # one that was killed is done again
        shutil.rmtree(backup)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

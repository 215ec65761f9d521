#!/usr/bin/env python3
"""Physical backups of a PostgreSQL server by pg_basebackup, for `provider = "command"`.

    postgresql.py create STORE ID      postgresql.py clone STORE ID FOLDER
    postgresql.py delete STORE ID

The role in the URL needs REPLICATION, and pg_hba.conf a line for it. STORE is a folder on a disk with room for the
whole server; on btrfs and XFS a clone shares its blocks with the backup and takes no time.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def environment() -> dict[str, str]:
    """The target's URL as libpq's variables: an argument would show the password to everybody."""
    url = urlsplit(os.environ["CI_MIGRATE_PROVIDER_URL"])
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    given = {
        "PGHOST": url.hostname or query.get("host"),
        "PGPORT": str(url.port or query.get("port") or 5432),
        "PGUSER": url.username and unquote(url.username),
        "PGPASSWORD": url.password and unquote(url.password),
        "PGSSLMODE": query.get("sslmode"),
        "PGSSLROOTCERT": query.get("sslrootcert"),
    }
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def main(verb: str, store: str, name: str, folder: str = "") -> None:
    backup = Path(store, name)
    if verb == "create":
        subprocess.run(
            ["pg_basebackup", "-D", str(backup), "-X", "stream", "-c", "fast", "--no-password"],
            check=True,
            env=environment(),
        )
        print(name)
    elif verb == "clone":
        subprocess.run(["pg_verifybackup", "-q", str(backup)], check=True)
        copy = Path(folder, "data")
        subprocess.run(["cp", "-a", "--reflink=auto", str(backup), str(copy)], check=True)
        print(copy)
    elif verb == "delete":
        shutil.rmtree(backup)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

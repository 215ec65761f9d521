#!/usr/bin/env python3
"""Physical backups of a PostgreSQL server by pg_basebackup, for `provider = "command"`.

    postgresql.py create STORE ID      postgresql.py clone STORE ID FOLDER
    postgresql.py delete STORE ID

The role in the URL needs REPLICATION, and pg_hba.conf a line for it. STORE is a folder on a disk with room for the
whole server, its tablespaces too; on btrfs and XFS a clone shares its blocks with the backup and takes no time.
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


def tablespaces(environ: "dict[str, str]") -> "list[list[str]]":
    """Number and folder of each."""
    query = "SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE spcname !~ '^pg_'"
    argv = ["psql", "-XAtq", "-F", " ", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", query]
    told = subprocess.run(argv, check=True, env=environ, stdout=subprocess.PIPE, text=True).stdout
    return [line.split(" ", 1) for line in told.splitlines()]


def main(verb: str, store: str, name: str, folder: str = "") -> None:
    backup, begun = Path(store, name), Path(store, f"{name}.new")
    if verb == "create":
        environ = environment()
        spaces = tablespaces(environ)
        take = ["pg_basebackup", "-D", str(begun / "data"), "-X", "stream", "-c", "fast", "--no-password"]
        for number, place in spaces:
            there = begun / "tablespaces" / number
            old, new = (str(path).replace("=", "\\=") for path in (place, there))
            take.append(f"--tablespace-mapping={old}={new}")
        begun.mkdir(mode=0o700)
        subprocess.run(take, check=True, env=environ)
        for number, _ in spaces:  # relative, so that they lead to the copy in each copy
            link = begun / "data" / "pg_tblspc" / number
            link.unlink()
            link.symlink_to(Path("..", "..", "tablespaces", number))
        begun.rename(backup)  # what a killed one leaves is no backup
        print(name)
    elif verb == "clone":
        subprocess.run(["pg_verifybackup", "-q", str(backup / "data")], check=True)
        copy = Path(folder, "copy")
        subprocess.run(["cp", "-a", "--reflink=auto", str(backup), str(copy)], check=True)
        print(copy / "data")
    elif verb == "delete" and backup.exists():  # one that was killed is done again
        shutil.rmtree(backup)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

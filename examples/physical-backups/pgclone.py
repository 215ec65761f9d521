#!/usr/bin/env python3
"""Copies of a database that share its blocks, by a PostgreSQL server 18 or newer itself, for `provider = "command"`.

    pgclone.py create ID               pgclone.py clone ID
    pgclone.py delete ID               pgclone.py drop ID

The server's data lie on btrfs, XFS or another file system that clones files (file_copy_method). Nobody else may be
connected to the database while `create` runs: stop the application. A backup is a database beside the target, on the
same server and disk: it helps after a bad migration, not after a lost disk. Needs psql, and a role with CREATEDB that
owns the database. `delete` is given no URL by ci-migrate: PGCLONE_URL has it.
"""

import os
import subprocess
import sys
from urllib.parse import parse_qs, quote, unquote, urlsplit

LONGEST = 63
"""Bytes of a database's name."""


def environment(url) -> "dict[str, str]":
    """The target's URL as libpq's variables: an argument would show the password to everybody."""
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    given = {
        "PGHOST": url.hostname or query.get("host"),
        "PGPORT": str(url.port or query.get("port") or 5432),
        "PGUSER": url.username and unquote(url.username),
        "PGPASSWORD": url.password and unquote(url.password),
        "PGSSLMODE": query.get("sslmode"),
        "PGSSLROOTCERT": query.get("sslrootcert"),
        "PGDATABASE": "postgres",
    }
    return {**os.environ, **{name: value for name, value in given.items() if value}}


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def execute(url, *statements: str) -> None:
    """Each for itself: none of them may be in a transaction."""
    argv = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *(f"-c{statement}" for statement in statements)]
    subprocess.run(argv, check=True, env=environment(url), stdout=sys.stderr)


def copy(url, new: str, of: str) -> None:
    # with `copy` for `clone` it works on each file system, and takes time and room
    made = f"CREATE DATABASE {quoted(new)} TEMPLATE {quoted(of)} STRATEGY FILE_COPY"
    # where this script is ended, the server ends the copy, too
    execute(url, "SET client_connection_check_interval = '100ms'", "SET file_copy_method = clone", made)


def drop(url, name: str) -> None:
    execute(url, f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")


def main(verb: str, name: str) -> None:
    url = urlsplit(os.environ.get("CI_MIGRATE_PROVIDER_URL") or os.environ["PGCLONE_URL"])
    name = name.encode()[: LONGEST - len("_clone")].decode(errors="ignore")
    clone = f"{name}_clone"
    if verb == "create":
        begun = f"{name}_new"  # what a killed one leaves is no backup
        copy(url, begun, unquote(url.path[1:]))
        execute(url, f"ALTER DATABASE {quoted(begun)} RENAME TO {quoted(name)}")
        print(name)
    elif verb == "clone":
        drop(url, clone)  # of a run that was killed
        copy(url, clone, name)
        print(url._replace(path="/" + quote(clone)).geturl())
    elif verb == "drop":
        drop(url, clone)
    elif verb == "delete":
        drop(url, name)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

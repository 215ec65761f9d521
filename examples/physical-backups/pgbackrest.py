#!/usr/bin/env python3
"""Physical backups of a PostgreSQL server by pgBackRest, for `provider = "command"`.

    pgbackrest.py create STANZA        pgbackrest.py clone STANZA ID FOLDER
    pgbackrest.py delete STANZA ID

Runs where pgBackRest itself runs. PGBACKREST_CONFIG names its configuration, where that is not /etc/pgbackrest.conf.
Full backups are for your schedule to make: what this script makes is built on the last one alone, so that each can be
deleted for itself. A full one that is the last, or that others need, stays until pgBackRest's own retention ends it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def pgbackrest(*arguments: str) -> str:
    config = os.environ.get("PGBACKREST_CONFIG")
    given = ["pgbackrest", *([f"--config={config}"] if config else []), *arguments]
    # what it prints on the way must not be taken for the id
    return subprocess.run(given, check=True, stdout=subprocess.PIPE, text=True).stdout


def backups(stanza: str) -> "list[dict]":
    (info,) = json.loads(pgbackrest(f"--stanza={stanza}", "--output=json", "info"))
    return info["backup"]


def main(verb: str, stanza: str, name: str = "", folder: str = "") -> None:
    if verb == "create":
        # differential, or full where there is none yet; with the WAL that it needs, so that a clone asks no archive
        pgbackrest(f"--stanza={stanza}", "--type=diff", "--archive-copy", "backup")
        print(backups(stanza)[-1]["label"])
    elif verb == "clone":
        copy = Path(folder, "data")
        copy.mkdir(mode=0o700)
        # no further than the end of the backup, with the WAL that came along
        until = ["--type=immediate", "--target-action=promote", "--recovery-option=restore_command=false"]
        spaces = f"--tablespace-map-all={Path(folder, 'tablespaces')}"
        pgbackrest(f"--stanza={stanza}", f"--set={name}", f"--pg1-path={copy}", spaces, *until, "restore")
        print(copy)
    elif verb == "delete":
        held = backups(stanza)
        full = [backup["label"] for backup in held if backup["type"] == "full"]
        if full == [name] or any(name in (backup.get("reference") or []) for backup in held):
            sys.stderr.write(f"{name} stays until pgBackRest's own retention ends it\n")
        elif name in [backup["label"] for backup in held]:  # one that was killed is done again
            pgbackrest(f"--stanza={stanza}", f"--set={name}", "expire")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

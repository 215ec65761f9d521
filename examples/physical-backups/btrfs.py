#!/usr/bin/env python3
"""Snapshots of a server's data on btrfs, for `provider = "command"`: no time, and no room until something changes.

    btrfs.py create DATA STORE ID      btrfs.py clone DATA STORE ID
    btrfs.py delete DATA STORE ID      btrfs.py drop DATA STORE ID

DATA is the server's data folder, a subvolume of its own with all of its files (tablespaces and WAL too), on this very
machine; STORE a folder on the same file system. A snapshot is of one moment: the server recovers as after a power cut.
"""

import subprocess
import sys
from pathlib import Path

IN_USE = "postmaster.pid"
"""Belongs to the server that goes on, not to its copy."""


def btrfs(*arguments: str) -> None:
    subprocess.run(["btrfs", "-q", "subvolume", *arguments], check=True, stdout=sys.stderr)


def main(verb: str, data: str, store: str, name: str) -> None:
    backup, copy = Path(store, name), Path(store, f"{name}.clone")
    if verb == "create":
        begun = Path(store, f"{name}.new")
        btrfs("snapshot", "-r", data, str(begun))
        begun.rename(backup)  # what a killed one leaves is no backup
        print(name)
    elif verb == "clone":
        if copy.exists():  # of a run that was killed
            btrfs("delete", str(copy))
        btrfs("snapshot", str(backup), str(copy))
        (copy / IN_USE).unlink(missing_ok=True)
        print(copy)
    elif verb == "drop" and copy.exists():  # it is called also where `clone` did not end
        btrfs("delete", str(copy))
    elif verb == "delete" and backup.exists():  # one that was killed is done again
        btrfs("delete", str(backup))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)

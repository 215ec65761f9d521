"""The smallest provider: copies of a SQLite file.

sqlite_provider.py create|clone|drop|restore|delete STORE ID
"""

import os
import sqlite3
import sys
import time
from pathlib import Path
from urllib.parse import unquote


def copy(source: str, target: str) -> None:
    a, b = sqlite3.connect(source), sqlite3.connect(target)
    with b:
        a.backup(b)
    a.close()
    b.close()


def check(file: str) -> None:
    """A file that is not there, or is damaged, ends it."""
    Path(file).stat()
    assert list(sqlite3.connect(file).execute("PRAGMA integrity_check")) == [("ok",)]


def main(verb: str, store: str, name: str) -> None:
    backup, clone = str(Path(store, name)), str(Path(store, f"{name}.clone"))
    file = unquote(os.environ.get("CI_MIGRATE_PROVIDER_URL", "").partition(":///")[2])
    if verb == "create":
        copy(file, f"{backup}.new")
        time.sleep(1)  # long enough to be killed in the middle
        Path(f"{backup}.new").rename(backup)
        print(name)
    elif verb == "restore":
        check(backup)
        copy(backup, file)
    elif verb == "delete":
        Path(backup).unlink(missing_ok=True)
    elif verb == "clone":
        check(backup)
        copy(backup, clone)
        print(f"sqlite:///{clone}")
    elif verb == "drop":
        Path(clone).unlink(missing_ok=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

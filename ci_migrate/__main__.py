"""`python -m ci_migrate` and the console script."""

import contextlib
import os
import sys
from pathlib import Path


def ensure_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding, for children too.

    Names of files are bytes to Linux, nearly always UTF-8; reports, manifests and the ledger are UTF-8. In a locale
    with another encoding Python could neither write a name that is not ASCII nor find that file.
    """
    if sys.getfilesystemencoding().lower() == "utf-8":
        return
    os.putenv("PYTHONUTF8", "1")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves, no shell


def main() -> None:
    """Run the command line and exit with its code."""
    ensure_utf8()
    from ci_migrate.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    # `python -m` puts the working directory first, where a repository could put a module of anybody's name
    with contextlib.suppress(FileNotFoundError):  # one that was removed holds no module
        if sys.path and sys.path[0] in ("", str(Path.cwd())):
            del sys.path[0]
    main()

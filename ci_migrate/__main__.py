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


def ensure_streams() -> None:
    """Let /dev/null stand for those of the three standard streams that are closed (`<&-`), for children too.

    Else the next file that is opened gets its number, and a child's output would go there: into a database, say.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def main() -> None:
    """Run the command line and exit with its code."""
    ensure_streams()
    ensure_utf8()
    from ci_migrate.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    # `python -m` puts the working directory first, where a repository could put a module of anybody's name
    with contextlib.suppress(FileNotFoundError):  # one that was removed holds no module
        if sys.path and sys.path[0] in ("", str(Path.cwd())):
            del sys.path[0]
    main()

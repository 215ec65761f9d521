"""`python -m ci_migrate` and the console script."""

import sys
from pathlib import Path


def main() -> None:
    """Run the command line and exit with its code."""
    from ci_migrate.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    # `python -m` puts the working directory first, where a repository could put a module of anybody's name
    if sys.path and sys.path[0] in ("", str(Path.cwd())):
        del sys.path[0]
    main()

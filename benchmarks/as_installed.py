"""What is measured is what users have: pip compiles a package that it installs, and nothing an editable one."""

import compileall
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "ci_migrate"


def compile_package() -> None:
    """Write the package's bytecode beside its source, as an installation does; wherever Python may write none."""
    compileall.compile_dir(PACKAGE, quiet=1)

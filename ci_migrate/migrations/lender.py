"""The project's interpreter, started once and forked for all that need one. Imports little: it starts first of all."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ci_migrate.migrations import forking

WORKER = Path(__file__).absolute().parent / "worker" / "__main__.py"
"""What the project's interpreter runs, in another folder than ours."""

STARTS_WITH = (
    *("PYTHON", "LD_", "LC_", "LANG", "PATH", "HOME"),
    *("VIRTUAL_ENV", "CONDA_", "PYENV_", "OPENSSL_", "MALLOC_", "GLIBC_", "PSYCOPG_"),
)
"""How the variables begin which decide how an interpreter starts: where they differ, another one is started."""

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|PW|CREDENTIAL|AUTH|DSN|^CI_MIGRATE_", re.IGNORECASE)
"""Names that may be those of secrets. The rest is there for `.pth` files and sitecustomize, which run at the start."""


@dataclass(frozen=True)
class Lender:
    """An interpreter that has imported Alembic and nothing of a project.

    It is started without URLs and without variables whose names read like those of secrets: the kernel shows others of
    its user what a process was started with. Whatever is forked is given its own variables, all of them.
    """

    python: str
    environ: Mapping[str, str] = field(repr=False)
    forker: forking.Forker

    @classmethod
    def start(cls, python: str, directory: Path, environ: Mapping[str, str], driver: str = "") -> "Lender":
        """As it would be started for a project.

        Args:
            python: the interpreter.
            directory: where it runs.
            environ: of this, what it starts with.
            driver: as `Launch.driver`.

        Raises:
            ToolError: it can't be started.
        """
        given = without_secrets(environ)
        return cls(
            python,
            given,
            forking.ForkServer(command(python, driver), env=given, cwd=directory, pass_fds=()),
        )

    def fits(self, python: str, environ: Mapping[str, str]) -> bool:
        """Whether one that is started with these would be like it, as far as Python and its libraries are concerned."""
        return (python, starts_with(environ)) == (self.python, starts_with(self.environ))


def complete(environ: Mapping[str, str]) -> dict[str, str]:
    """With what we want of it: sets are walked in the same order in the dry run and in the migration."""
    return {"PYTHONHASHSEED": "0", **environ}


def starts_with(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment decides how an interpreter starts."""
    return {name: value for name, value in without_secrets(environ).items() if name.startswith(STARTS_WITH)}


def without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    """What of an environment others may see."""
    return {
        name: value
        for name, value in complete(environ).items()
        if name in ("PWD", "OLDPWD") or not (SECRET.search(name) or "://" in value)
    }


def command(python: str, driver: str) -> list[str]:
    """The command line."""
    return [python, str(WORKER), *([driver] if driver else [])]

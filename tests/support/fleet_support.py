"""Fleets of small SQLite files, made quickly: each is a copy of one that Alembic's revision r1 would have made."""

import json
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from alembic_project import AlembicProject, new_project

AT_R1 = """
create table users (id integer primary key, name text);
create table alembic_version (version_num varchar(32) not null, constraint alembic_version_pkc primary key (version_num));
insert into alembic_version values ('r1');
insert into users (name) values ('Ada');
"""
SETTINGS = '[targets.tenants]\nfleet-file = "tenants.txt"\n'


def name_of(number: int) -> str:
    return f"t{number:05}"


def sql(file: Path, script: str) -> None:
    """Run a script on a file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(script)


def heads_in(file: Path) -> list[str]:
    """The version rows of a file."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("select version_num from alembic_version order by 1")]


class Fleet:
    """A project whose target `tenants` is a fleet of files in `data/`."""

    def __init__(self, project: AlembicProject, count: int) -> None:
        self.project = project
        self.names = [name_of(number) for number in range(count)]
        (project.folder / "data").mkdir()
        first = project.folder / "data" / "first"
        sql(first, AT_R1)
        for name in self.names:
            shutil.copyfile(first, self.file(name))
        first.unlink()
        project.write("tenants.txt", "".join(f"{name} sqlite:///data/{name}.db\n" for name in self.names))
        project.settings(SETTINGS)

    def file(self, name: str) -> Path:
        return self.project.folder / "data" / f"{name}.db"

    def set(self, text: str) -> None:
        """More settings of the fleet."""
        self.project.settings(SETTINGS + text)

    def at(self, name: str) -> list[str]:
        return heads_in(self.file(name))


def new_fleet(folder: Path, count: int = 3) -> Fleet:
    """A fleet whose databases are at r1; the scripts are at r2."""
    return Fleet(new_project(folder), count)


def report_of(fleet: Fleet) -> dict[str, Any]:
    """fleet.json of the last run."""
    report: dict[str, Any] = json.loads((fleet.project.reports / "fleet.json").read_text())
    return report


def by_name(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """The databases of the last run."""
    return {target["name"]: target for target in report_of(fleet)["targets"]}


def statuses(fleet: Fleet) -> dict[str, str]:
    """How each came out in the last run."""
    return {name: target["status"] for name, target in by_name(fleet).items()}


def slow_revision(fleet: Fleet, seconds: int = 3) -> None:
    """The revision r2 waits in its middle, and says that it is there and that it has waited."""
    fleet.project.revision(
        "r2",
        "r1",
        "import os, pathlib, time\n"
        "from sqlalchemy import text\n"
        'op.add_column("users", sa.Column("email", sa.Text))\n'
        "if os.environ.get('CI_MIGRATE_STAGE') == 'migrate':\n"
        "    pathlib.Path('at-work').touch()\n"
        f"    time.sleep({seconds})\n"
        "    pathlib.Path('waited').touch()\n"
        'op.execute("update users set email = name")',
        'op.drop_column("users", "email")',
    )


def wait_for(path: Path, child: "subprocess.Popen[str]", timeout: float = 120) -> None:
    """Until this file is there; the process may not end before."""
    deadline = time.monotonic() + timeout
    while not path.exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    """The processes in which databases are migrated: children of the one that forks, which is a child of `pid`."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    forking = {child for child, parent in parents.items() if parent == pid}
    return [child for child, parent in parents.items() if parent in forking]


def damage(file: Path) -> None:
    """Its pages are no SQLite any more."""
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)


def read_only(file: Path) -> None:
    """It says that only a newer SQLite may write to it: whoever runs this, root too, can only read it."""
    content = bytearray(file.read_bytes())
    content[18] = 3  # the file format's write version
    file.write_bytes(content)

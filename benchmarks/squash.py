"""Real Alembic histories squashed: what is proved, what is refused, and the time from empty to head before and after.

python benchmarks/squash.py [--only optuna,glance] [--database sqlite|postgresql|mariadb|mysql] [--rounds 3]

Each history is copied into a project of its own, in git, and squashed up to its fifth last revision (one that has
branches to the end: up to the end). Then plain `alembic upgrade` brings fresh databases to the head, by the old scripts
and by those that are left, in turns, and the databases are compared. Printed are medians of the seconds of the whole
command, and of those that it took of the processors, without a server's. mlflow is there twice: as it is, and with the
tables that it makes beside its history as its first revision.
"""

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "support")]

from conftest import run_server  # noqa: E402
from corpora_support import (  # noqa: E402
    CASES,
    COPIES,
    Case,
    Project,
    Snapshot,
    as_plain_user,
    fresh_database,
    gate,
    install,
    prepare,
    sqlite_url,
)
from sqlalchemy import URL  # noqa: E402

LATER = 5
"""Revisions that stay."""

FIRST = '''\
"""The tables that the application makes with create_all."""
from alembic import op
from mlflow.store.tracking.dbmodels.initial_models import Base

revision = "initial"
down_revision = None


def upgrade():
    Base.metadata.create_all(op.get_bind())
'''

GRAPH = """
import json
from alembic.config import Config
from alembic.script import ScriptDirectory
scripts = list(ScriptDirectory.from_config(Config("alembic.ini")).walk_revisions())
branches = any(script.is_branch_point or script.is_merge_point or script.dependencies for script in scripts)
print(json.dumps([branches, [script.revision for script in scripts]]))
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="corpora, separated by commas")
    parser.add_argument("--database", choices=list(COPIES))
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pairs = dict.fromkeys((case.corpus, case.backend) for case in CASES)
    names = arguments.only.split(",") if arguments.only else {corpus for corpus, _ in pairs}
    print(
        "| history | database | revisions | outcome | before | processors | after | processors | not compared, or why |"
    )
    print("| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | --- |")
    with ExitStack() as stack:
        servers: dict[str, tuple[URL, Path | None]] = {}
        for corpus, backend in pairs:
            if corpus not in names or arguments.database not in (None, backend):
                continue
            if backend != "sqlite" and backend not in servers:
                server = stack.enter_context(run_server(backend))
                user = as_plain_user(fresh_database(server.admin_url))
                servers[backend] = user, getattr(server, "binaries", None)
            install(corpus)
            for complete in (False, True)[: 2 if corpus == "mlflow" else 1]:
                with tempfile.TemporaryDirectory(prefix="squash-") as text:
                    played = squash(
                        Case(corpus, backend),
                        Path(text),
                        servers.get(backend),
                        arguments.rounds,
                        complete=complete,
                    )
                what = f"{corpus}, with its first tables" if complete else corpus
                print(f"| {what} | {backend} | {played} |", flush=True)
    return 0


def squash(
    case: Case, folder: Path, server: tuple[URL, Path | None] | None, rounds: int, *, complete: bool
) -> str:
    """The cells of a row."""
    user, tools = server or (None, None)

    def fresh(name: str) -> tuple[Project, Path]:
        """The project on another empty database, and its scripts."""
        where = folder / name
        where.mkdir()
        url = fresh_database(user) if user is not None else sqlite_url(where)
        made = prepare(case, where / "project", url, tools)
        return made, take_in(made, complete=complete)

    project, scripts = fresh("squashed")
    branches, ids = json.loads(project.must("python", "-c", GRAPH).splitlines()[-1])
    for arguments in (
        ("init", "-q"),
        ("add", "-A"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all"),
    ):
        subprocess.run(["git", *arguments], cwd=project.folder, check=True, capture_output=True)
    destination = ids[0 if branches else LATER]
    done = gate(project, "-q", "squash", "--to", destination, "--write", "--json", client_tools=tools)
    if done.returncode:
        return f"{len(ids)} | refused | | | | | {' '.join(done.stderr.split())}"
    made = json.loads(done.stdout)
    seconds: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    seen: dict[bool, Snapshot] = {}
    for number in range(rounds):
        for squashed in (False, True):
            on, own = fresh(f"{number}{squashed}")
            if squashed:
                shutil.rmtree(own)
                shutil.copytree(scripts, own)
            started, worked = time.monotonic(), processor_time()
            on.must("alembic", "upgrade", project.facts["target"])
            seconds[squashed].append((time.monotonic() - started, processor_time() - worked))
            seen[squashed] = on.snapshot()
    rewritten = [words.removeprefix("casts and parentheses of ") for words in made["notCompared"]]
    other = all_of(seen[True])
    different = [
        name
        for name, text in all_of(seen[False]).items()
        if other.get(name) != text and name not in rewritten
    ]
    if different:
        return f"{len(ids)} | NOT THE SAME | | | | | {', '.join(different)}"
    before, after = (
        " | ".join(f"{statistics.median(each):.1f} s" for each in zip(*seconds[which], strict=True))
        for which in (False, True)
    )
    outcome = f"proved: {len(made['revisions'])} in one, {made['later']} stay"
    return f"{len(ids)} | {outcome} | {before} | {after} | {'; '.join(made['notCompared'])}"


def processor_time() -> float:
    """Seconds that ended children took of the processors: it hardly depends on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def all_of(seen: Snapshot) -> dict[str, Any]:
    """Schema, version rows, counts and contents of all tables, by name."""
    return {**seen.schema, "version rows": seen.heads, **{f"rows of {t}": c.rows for t, c in seen.counts.items()},
            **{f"values of {t}": c.digest for t, c in seen.contents.items()}}  # fmt: skip


def take_in(project: Project, *, complete: bool) -> Path:
    """Copy the scripts into the project, where its authors have them, with an env.py that names their folder."""
    ini = project.folder / "alembic.ini"
    text = ini.read_text()
    found = re.search(r"^version_locations = (.*)$", text, re.MULTILINE) or re.search(
        r"^script_location = (.*)$", text, re.MULTILINE
    )
    assert found
    own = project.folder / "migrations"
    shutil.copytree(found[1], own, ignore=shutil.ignore_patterns("__pycache__"))
    ini.write_text(text.replace(found[1], str(own)))
    versions = own / "versions" if (own / "versions").is_dir() else own
    env = project.folder / "env.py"
    if project.facts["corpus"] == "prefect":  # its env.py sets the folder
        name = re.search(r'ENV = "(.*)"', env.read_text())
        assert name
        theirs = Path(name[1]).read_text()
        (project.folder / "own_env.py").write_text(
            theirs.replace("db_interface.orm.versions_dir", repr(str(own)))
        )
        env.write_text(env.read_text().replace(name[1], str(project.folder / "own_env.py")))
    if complete:
        (versions / "initial.py").write_text(FIRST)
        (oldest,) = (
            f
            for f in versions.glob("*.py")
            if re.search(r"^down_revision = None", f.read_text(), re.MULTILINE) and f.stem != "initial"
        )
        oldest.write_text(
            re.sub(
                r"^down_revision = None", 'down_revision = "initial"', oldest.read_text(), flags=re.MULTILINE
            )
        )
    return versions


if __name__ == "__main__":
    sys.exit(main())

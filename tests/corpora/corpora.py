#!/usr/bin/env python3
"""Real Alembic histories, installed from public packages.

Nothing of those packages is copied here: this file installs a pinned package into a virtual environment of its own
and writes a small project folder (an alembic.ini, where needed a thin env.py that sets the application up and then
runs the package's own env.py, and an env.sh with the variables that it reads), so that plain Alembic runs its
migrations:

    cd PROJECT && . ./env.sh && alembic -c alembic.ini upgrade head

Usage:
    corpora.py list
    corpora.py install NAME...                 # environment + pinned requirements; does nothing where they are there
    corpora.py prepare NAME --url URL --into DIR
    corpora.py baseline DIR                    # tables that some histories want before base
    corpora.py alembic DIR ARGS...             # run alembic in a prepared folder
    corpora.py python  DIR ARGS...             # the corpus' python, same environment
    corpora.py info DIR                        # facts of the graph as JSON

URL is a plain SQLAlchemy URL without a driver (sqlite:////abs/path.db, postgresql://user@host:port/db,
mysql://user:pw@host:port/db); each corpus adds the driver that its env.py wants.

CI_MIGRATE_CORPORA_DIR (default: ~/.cache/ci-migrate-corpora) holds the environments; PYTHON311 names the
interpreter (default: python3.11, else the one that runs this file).
"""
from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKDIR = Path(os.environ.get("CI_MIGRATE_CORPORA_DIR") or "~/.cache/ci-migrate-corpora").expanduser().absolute()

SYNC = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg2", "mysql": "mysql+pymysql"}
SYNC3 = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
ASYNC = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


@dataclass
class Corpus:
    name: str
    package: str                      # what it is, for people
    python: str = "3.11"
    drivers: dict = field(default_factory=lambda: dict(SYNC))
    env: dict = field(default_factory=dict)       # variables for env.sh
    target: str = "head"              # what `upgrade` must be given
    extra_args: list = field(default_factory=list)  # e.g. -x options, before the command
    baseline: str | None = None       # script (in NAME/) that makes tables with create_all
    stamp: str | None = None          # then stamp this revision
    rewind: str | dict | None = None  # then downgrade to this (by backend, if a dict)
    old_python: str | None = None     # baseline runs in a second environment, with an old release of the
                                      # application (requirements-old.txt): a real release-to-release upgrade
    pg_sql: list = field(default_factory=list)    # statements a superuser runs in a fresh database
    sync_seed: dict = field(default_factory=lambda: dict(SYNC))  # driver for seed.py
    like: str | None = None           # environment and files of this other corpus
    note: str = ""

    @property
    def root(self) -> Path:
        return WORKDIR / (self.like or self.name)

    @property
    def files(self) -> Path:
        return HERE / (self.like or self.name)

    @property
    def bin(self) -> Path:
        return self.root / "venv" / "bin"

    @property
    def site(self) -> Path:
        found = sorted((self.root / "venv" / "lib").glob("python3*/site-packages"))
        return found[0] if found else self.root / "venv" / "lib" / f"python{self.python}" / "site-packages"

    @property
    def old_bin(self) -> Path:
        return self.root / "old" / "bin"


CORPORA: dict[str, Corpus] = {}


def add(name, package, **kw):
    CORPORA[name] = Corpus(name, package, **kw)


# --------------------------------------------------------------------------
add("optuna", "optuna 5.0.0")
add("mlflow", "mlflow-skinny 3.17.2", baseline="baseline.py",
    note="the application creates its 'initial' tables with create_all before the first revision")
add("glance", "glance 33.0.0", target="heads",
    note="expand/contract branches with depends_on; env.py uses oslo.config's CONF.database.connection")
add("prefect", "prefect 3.8.8", drivers=ASYNC,
    env={"PREFECT_API_DATABASE_CONNECTION_URL": "@URL@", "PREFECT_HOME": "@HERE@/prefect_home",
         "PREFECT_SERVER_ANALYTICS_ENABLED": "false"},
    pg_sql=["CREATE EXTENSION IF NOT EXISTS pg_trgm"])
add("ironic", "ironic 39.0.0",
    note="82 revisions of ten years; env.py uses oslo.config's CONF.database.connection and an engine facade")
add("ihatemoney", "ihatemoney 7.2.1",
    env={"IHATEMONEY_SETTINGS_FILE_PATH": "@HERE@/ihatemoney.cfg"})


# --------------------------------------------------------------------------
def split_url(url: str) -> tuple[str, str]:
    m = re.match(r"([a-z0-9]+)(\+[a-z0-9_]+)?(:.*)$", url)
    if not m:
        raise SystemExit(f"not a database URL: {url}")
    back = {"mariadb": "mysql", "postgres": "postgresql"}.get(m.group(1), m.group(1))
    return back, m.group(3)


def with_driver(drivers: dict, url: str) -> str:
    back, rest = split_url(url)
    if back not in drivers:
        raise SystemExit(f"this corpus does not support {back}")
    return drivers[back] + rest


def interpreter(version: str) -> str:
    """The wanted interpreter, else this one: the pins may do with a newer Python too."""
    wanted = os.environ.get("PYTHON" + version.replace(".", ""), f"python{version}")
    return wanted if shutil.which(wanted) else sys.executable


def install(c: Corpus) -> None:
    """One process at a time; nothing to do where the same requirements are installed."""
    c.root.mkdir(parents=True, exist_ok=True)
    with (c.root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(c.python, c.root / "venv", c.files / "requirements.txt")
        if c.old_python:
            _install(c.old_python, c.root / "old", c.files / "requirements-old.txt")


def _install(python: str, venv: Path, req: Path) -> None:
    wanted = hashlib.sha256(req.read_bytes()).hexdigest()
    mark = venv / ".requirements"
    if mark.exists() and mark.read_text() == wanted:
        return
    uv = shutil.which("uv")
    py = venv / "bin" / "python"
    if not py.exists():
        venv.parent.mkdir(parents=True, exist_ok=True)
        make = [uv, "venv", "-q", "--python", interpreter(python)] if uv else [interpreter(python), "-m", "venv"]
        subprocess.check_call([*make, str(venv)])
    if uv:
        cmd = [uv, "pip", "install", "-q", "--python", str(py), "--no-deps", "-r", str(req)]
    else:
        cmd = [str(py), "-m", "pip", "install", "-q", "--no-deps", "-r", str(req)]
    subprocess.check_call(cmd)
    mark.write_text(wanted)


def prepare(c: Corpus, url: str, into: Path) -> dict:
    into = into.resolve()
    into.mkdir(parents=True, exist_ok=True)
    full = with_driver(c.drivers, url)
    back, rest = split_url(url)
    sub = {
        "SITE": str(c.site), "HERE": str(into), "URL": full, "URL_CFG": full.replace("%", "%%"),
        "PLAINURL": back + rest, "BACKEND": back, "SEEDURL": with_driver({**SYNC, **c.sync_seed}, url),
        "DBPATH": rest[4:] if rest.startswith(":///") else "",
        "MMCLASS": {"sqlite": "SQLiteDatabase", "postgresql": "PostgreSQLDatabase",
                    "mysql": "MySQLDatabase"}[back],
    }

    def fill(text: str) -> str:
        return re.sub(r"@([A-Z_]+)@", lambda m: sub.get(m.group(1), m.group(0)), text)

    for f in sorted(c.files.iterdir()):
        if f.is_file() and f.suffix != ".txt" and f.name != "README.md":
            (into / f.name).write_text(fill(f.read_text()))
    env = {k: fill(v) for k, v in c.env.items()}
    env["PATH"] = f"{c.bin}:$PATH"
    lines = [f"export {k}={shlex.quote(v)}" for k, v in env.items() if k != "PATH"]
    lines.append(f'export PATH={shlex.quote(str(c.bin))}:"$PATH"')
    (into / "env.sh").write_text("\n".join(lines) + "\n")
    meta = {"corpus": c.name, "url": full, "plain_url": back + rest, "seed_url": sub["SEEDURL"],
            "backend": back, "target": c.target, "pg_sql": c.pg_sql, "bin": str(c.bin), "site": str(c.site),
            "extra_args": [fill(a) for a in c.extra_args], "baseline": c.baseline, "stamp": c.stamp,
            "rewind": c.rewind.get(back) if isinstance(c.rewind, dict) else c.rewind,
            "baseline_python": str((c.old_bin if c.old_python else c.bin) / "python"),
            "env": {k: v for k, v in env.items() if k != "PATH"}}
    (into / "corpus.json").write_text(json.dumps(meta, indent=1) + "\n")
    return meta


def load(d: Path) -> tuple[dict, dict]:
    meta = json.loads((d / "corpus.json").read_text())
    env = dict(os.environ)
    env.update(meta["env"])
    env["PATH"] = meta["bin"] + os.pathsep + env["PATH"]
    for k in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        env.pop(k, None)
    return meta, env


def alembic_cmd(meta: dict, args: list[str]) -> list[str]:
    return [os.path.join(meta["bin"], "alembic"), "-c", "alembic.ini", *meta["extra_args"], *args]


def baseline(d: Path) -> int:
    """Bring an empty database to where this corpus' first upgrade can start.

    Many applications make a new database with create_all() and stamp it, so
    their first revisions alter tables that no revision creates. For those we
    do the same, then downgrade as far as the history lets us."""
    meta, env = load(d)
    if not meta["baseline"]:
        return 0
    rc = subprocess.call([meta["baseline_python"], meta["baseline"]], cwd=d, env=env)
    if not rc and meta["stamp"]:
        rc = subprocess.call(alembic_cmd(meta, ["stamp", meta["stamp"]]), cwd=d, env=env)
    if not rc and meta["rewind"]:
        rc = subprocess.call(alembic_cmd(meta, ["downgrade", meta["rewind"]]), cwd=d, env=env)
    return rc


# Some revision files import application code that works only in a set-up application, so that even
# `alembic heads` fails: then the corpus has an app_setup.py.
PRELUDE = r"""
import os
if os.path.exists("app_setup.py"):
    exec(open("app_setup.py").read())
"""
INFO = PRELUDE + r"""
import json, sys, importlib.metadata as m
from alembic.config import Config
from alembic.script import ScriptDirectory
s = ScriptDirectory.from_config(Config("alembic.ini"))
revs = list(s.walk_revisions())
def ver(p):
    try: return m.version(p)
    except Exception: return None
print(json.dumps({"revisions": len(revs), "heads": s.get_heads(), "bases": s.get_bases(),
  "merges": sum(r.is_merge_point for r in revs), "branchpoints": sum(r.is_branch_point for r in revs),
  "depends_on": sum(bool(r.dependencies) for r in revs),
  "branch_labels": sorted({l for r in revs for l in r._orig_branch_labels}),
  "no_downgrade": 0, "alembic": ver("alembic"), "sqlalchemy": ver("sqlalchemy")}))
"""


def main() -> int:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sp = ap.add_subparsers(dest="cmd", required=True)
    sp.add_parser("list")
    p = sp.add_parser("install"); p.add_argument("names", nargs="+")
    p = sp.add_parser("prepare"); p.add_argument("name"); p.add_argument("--url", required=True)
    p.add_argument("--into", type=Path, required=True)
    for n in ("alembic", "python"):
        p = sp.add_parser(n); p.add_argument("dir", type=Path); p.add_argument("args", nargs=argparse.REMAINDER)
    for n in ("info", "baseline"):
        p = sp.add_parser(n); p.add_argument("dir", type=Path)
    a = ap.parse_args()
    if a.cmd == "list":
        for c in CORPORA.values():
            print(f"{c.name:12} {c.package:28} {','.join(c.drivers):26} target={c.target:10} {c.note}")
        return 0
    if a.cmd == "install":
        for n in (CORPORA if a.names == ["all"] else a.names):
            install(CORPORA[n])
        return 0
    if a.cmd == "prepare":
        print(json.dumps(prepare(CORPORA[a.name], a.url, a.into), indent=1))
        return 0
    meta, env = load(a.dir)
    if a.cmd == "alembic":
        return subprocess.call(alembic_cmd(meta, a.args), cwd=a.dir, env=env)
    if a.cmd == "python":
        return subprocess.call([os.path.join(meta["bin"], "python"), *a.args], cwd=a.dir, env=env)
    if a.cmd == "baseline":
        return baseline(a.dir)
    if a.cmd == "info":
        return subprocess.call([os.path.join(meta["bin"], "python"), "-c", INFO], cwd=a.dir, env=env)
    return 2


if __name__ == "__main__":
    sys.exit(main())

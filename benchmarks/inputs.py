"""What it costs that a child hashes and compiles what it executes: with and without, on a history of many revisions.

python benchmarks/inputs.py [--revisions 1000] [--rounds 5]

One child loads the scripts and runs all revisions on a fresh SQLite file, as on a target, once with the guard of
`worker/inputs.py` and once without, in turns; processor time of the whole child counts. "fresh" is a checkout in which
Python has cached no `.pyc` yet, as in CI; "cached" has them all, which only a child without the guard uses.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
from gate import ENV, INI, REVISION, body
from sqlalchemy import make_url

from ci_migrate.databases.sqlite.database import SQLite
from ci_migrate.migrations.requests import (
    AlembicConfig,
    ExpectedInputs,
    Mode,
    PlannedTable,
    RunRequest,
    Setup,
    wall_entry,
)
from ci_migrate.model import Direction

CHILD = """
import sys
sys.path[0] = {root!r}
from ci_migrate.migrations.worker import inputs, main
if {off}:
    inputs.Inputs.watch = lambda self: None
sys.path[0] = ""
main.main()
"""
AIM = 1.10


def make_history(folder: Path, count: int) -> None:
    """A project of small revisions."""
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations" / "env.py").write_text(ENV)
    for number in range(1, count + 1):
        up, back = body(number)
        down = repr(f"{number - 1:04}") if number > 1 else None
        (versions / f"{number:04}.py").write_text(REVISION.format(number=number, down=down, up=up, back=back))


def request_of(folder: Path, count: int, mode: Mode) -> bytes:
    """Run all revisions."""
    setup = Setup(
        alembic=AlembicConfig(ini=str(folder / "alembic.ini")),
        direction=Direction.UPGRADE,
        destination="head",
        databases=(wall_entry("", SQLite(make_url(f"sqlite:///{folder}/app.db")).wall()),),
        inputs=ExpectedInputs(project=str(folder)),
    )
    revisions = tuple(f"{number:04}" for number in range(1, count + 1))
    table = PlannedTable(key="|||alembic_version", from_heads=(), revisions=revisions)
    return msgspec.json.encode(RunRequest(setup=setup, mode=mode, asks=(), contexts=(table,))) + b"\n"


def seconds(folder: Path, request: bytes, *, off: bool, cached: bool) -> float:
    """Processor time of one child."""
    (folder / "app.db").unlink(missing_ok=True)
    if not cached:
        for cache in folder.rglob("__pycache__"):
            shutil.rmtree(cache)
    root = str(Path(__file__).resolve().parents[1])
    environ = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "" if cached else "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # the child must not find the end of its input before it is done: that is how it learns that its parent is gone
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(root=root, off=off)],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(request)
    child.stdin.flush()
    ended = [line for line in child.stdout if b'"finished"' in line or b'"failed"' in line]
    child.stdin.close()
    child.wait()
    assert ended, child.stderr and child.stderr.read()
    assert b'"finished"' in ended[-1], ended[-1]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the table; 1 where the aim is missed in a fresh checkout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--revisions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    met = True
    print(f"{options.revisions} revisions, {options.rounds} rounds, seconds of processor time\n")
    print("| checkout | without | with | ratio |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        make_history(folder, options.revisions)
        request = request_of(folder, options.revisions, Mode.MIGRATE)
        for cached in (False, True):
            seconds(folder, request, off=True, cached=cached)
            rounds = [
                [seconds(folder, request, off=off, cached=cached) for off in (True, False)]
                for _ in range(options.rounds)
            ]
            without, guarded = (statistics.median(column) for column in zip(*rounds, strict=True))
            ratio = statistics.median(two / one for one, two in rounds)
            met = met and (cached or ratio <= AIM)
            print(f"| {'cached' if cached else 'fresh'} | {without:.2f} | {guarded:.2f} | {ratio:.2f} |")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""What protection costs: `ci-migrate run` on a protected target with a token, against the same run without, on SQLite.

python benchmarks/protected.py [--revisions 1000] [--rounds 5]

One revision of a history of that length is pending. Both start from the same file and a ledger that is there already,
in turns; the first run of the protected one, which stops for the approval, is not counted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gate import project

CI_MIGRATE = [sys.executable, "-m", "ci_migrate"]


def call(folder: Path, *arguments: str, **environ: str) -> str:
    """What a command printed; raises CalledProcessError."""
    return subprocess.run(
        [*CI_MIGRATE, *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def prepare(folder: Path, *, protected: bool) -> Path:
    """A copy of the project, with a ledger; returns the file of its token, empty where it is not protected."""
    copy = folder.with_name(f"{folder.name}-{'protected' if protected else 'plain'}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    call(copy, "protect", "--freeze", "makes the ledger")
    call(copy, "protect", "--unfreeze")
    token = copy.with_name(f"{copy.name}.token")
    token.write_text("")
    if protected:
        call(copy, "protect")
        subprocess.run([*CI_MIGRATE, "run"], cwd=copy, check=False, capture_output=True)
        token.write_text(call(copy, "token", "generate", "--reason", "benchmark").split()[0])
    return token


def timed(folder: Path, *, protected: bool) -> float:
    """Seconds of the run that migrates."""
    token = prepare(folder, protected=protected)
    place = folder.with_name(token.stem)
    environ = {"CI_MIGRATE_TOKEN": token.read_text()} if protected else {}
    began = time.perf_counter()
    call(place, "run", **environ)
    return time.perf_counter() - began


def main() -> None:
    """The two medians and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--revisions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ci-migrate-bench-") as place:
        folder = Path(place) / "shop"
        project(folder, given.revisions)
        last = f"{given.revisions - 1:04}"
        subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", last], cwd=folder, check=True, capture_output=True
        )
        pairs = [(timed(folder, protected=False), timed(folder, protected=True)) for _ in range(given.rounds)]
    plain, protected = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    print(f"One pending revision after {given.revisions - 1} others (aim: ratio at most 1.10)")
    print(f"  run                    median {plain:6.2f} s")
    print(f"  run, protected         median {protected:6.2f} s")
    print(
        f"  ratio                  median {statistics.median(ratios):6.2f}   ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()

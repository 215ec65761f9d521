"""What a fleet costs: a look at 10,000 SQLite files, and a fleet run beside a shell loop of `alembic upgrade`.

python benchmarks/fleet.py [--files 10000] [--databases 60] [--processes 2] [--rounds 1]

The look is `ci-migrate fleet status` on files with a small schema, half of them with a ledger; printed are seconds,
milliseconds for each file, and what of that is the start. The run is `ci-migrate fleet run` (each database backed up,
rehearsed on its own copy, migrated, verified), the same with `fleet-dry-run = "canary"`, and
`xargs -P PROCESSES` of `alembic upgrade head`, in turns on equal files; printed are ratios of the same round, by the
clock and by seconds of processors, which hardly depend on what else the machine does.
"""

import argparse
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support")]

AIM_MS = 4.0
PR_SET_CHILD_SUBREAPER = 36
BIN = Path(sys.executable).parent


def timed(fleet, *argv: str, stdin: str = "") -> tuple[float, float]:
    """Seconds by the clock, and of processors."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        argv,
        cwd=fleet.project.folder,
        env=fleet.project.environment(),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with suppress(ChildProcessError):
        while os.wait():  # what forked the workers is nobody else's child by now
            pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, used


def look(folder: Path, files: int) -> None:
    from fleet_support import name_of, new_fleet

    fleet = new_fleet(folder / "project", files)
    subprocess.run(
        [BIN / "ci-migrate", "run", "--target", f"tenants/{name_of(0)}"],
        cwd=fleet.project.folder,
        env=fleet.project.environment(),
        capture_output=True,
        check=True,
    )
    ledger = fleet.file(name_of(0)).with_name(f"{name_of(0)}.db.ci-migrate")
    for name in fleet.names[2::2]:
        shutil.copyfile(ledger, fleet.file(name).with_name(f"{name}.db.ci-migrate"))
    seconds, used = timed(fleet, str(BIN / "ci-migrate"), "fleet", "status")
    fleet.project.write("tenants.txt", f"one sqlite:///data/{name_of(0)}.db\n")
    start, start_used = timed(fleet, str(BIN / "ci-migrate"), "fleet", "status")
    each, each_used = (1000 * (a - b) / files for a, b in ((seconds, start), (used, start_used)))
    print(
        f"fleet status: {files:,} files in {seconds:.1f} s ({used:.1f} s of processors), start {start:.1f} s: "
        f"{each:.2f} ms a file by the clock, {each_used:.2f} of processors (aim {AIM_MS})"
    )


def run(folder: Path, count: int, processes: int) -> dict[str, tuple[float, float]]:
    from fleet_support import new_fleet

    found = {}
    for name, settings in (("each", ""), ("canary", 'fleet-dry-run = "canary"\n')):
        fleet = new_fleet(folder / name, count)
        fleet.set(f"fleet-processes = {processes}\n{settings}")
        found[name] = timed(fleet, str(BIN / "ci-migrate"), "fleet", "run")
        assert {fleet.at(n)[0] for n in fleet.names} == {"r2"}
    fleet = new_fleet(folder / "alembic", count)
    urls = "".join(f"sqlite:///data/{name}.db\n" for name in fleet.names)
    one = ["env", "DATABASE_URL={}", str(BIN / "alembic"), "upgrade", "head"]
    found["alembic"] = timed(fleet, "xargs", "-P", str(processes), "-I", "{}", *one, stdin=urls)
    assert {fleet.at(n)[0] for n in fleet.names} == {"r2"}
    return found


def adopt_orphans() -> None:
    """Whatever a command leaves behind is waited for here, so that its seconds are counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> int:
    adopt_orphans()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--databases", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.files:
            look(Path(folder) / "look", arguments.files)
        rounds = [
            run(Path(folder) / str(number), arguments.databases, arguments.processes)
            for number in range(arguments.rounds)
        ]
        for name in ("each", "canary"):
            clock = statistics.median(r[name][0] / r["alembic"][0] for r in rounds)
            used = statistics.median(r[name][1] / r["alembic"][1] for r in rounds)
            last = rounds[-1]
            print(
                f"fleet run, fleet-dry-run = {name}: {arguments.databases} databases in {last[name][0]:.1f} s, "
                f"alembic {last['alembic'][0]:.1f} s: ratio {clock:.2f}; of processors "
                f"{last[name][1]:.1f} s and {last['alembic'][1]:.1f} s: ratio {used:.2f}"
            )
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())

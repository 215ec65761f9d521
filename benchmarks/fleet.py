"""What a fleet costs: a look at 10,000 SQLite files, and a fleet run beside a shell loop of `alembic upgrade`.

python benchmarks/fleet.py [--files 10000] [--databases 60] [--postgresql 200] [--processes 2] [--rounds 1]

The look is `ci-migrate fleet status` on files with a small schema, half of them with a ledger, and then on as many
that are at the destination; printed are seconds, milliseconds for each file, and what of that is the start. The run
is `ci-migrate fleet run` (each database backed up, rehearsed on its own copy, migrated, verified), the same with
`fleet-dry-run = "canary"`, and `xargs -P PROCESSES` of `alembic upgrade head`, in turns on equal files; printed are
ratios of the same round, by the clock and by seconds of processors, which hardly depend on what else the machine
does. On PostgreSQL, databases of one throw-away server without fsync have two pending revisions, and the fleet has
`fleet-dry-run = "canary"`; the server's own seconds of processors count for neither.
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

from as_installed import compile_package

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / part) for part in ("tests", "tests/support", "")]

AIM_MS = 4.0
AIM_TIMES = 1.6  # as fast as the shell loop: databases of PostgreSQL with the canary's dry run
PR_SET_CHILD_SUBREAPER = 36
BIN = Path(sys.executable).parent


def timed(fleet, *argv: str, stdin: str = "") -> tuple[float, float]:
    """Seconds by the clock, and of processors."""
    others = children()
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
    while ours := children() - others:  # what forked the workers is nobody else's child by now
        for pid in ours:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - started, used


def children() -> set[int]:
    """Processes of ours, adopted ones too."""
    return {
        int(pid) for place in Path("/proc/self/task").glob("*/children") for pid in place.read_text().split()
    }


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
    for name in fleet.names[1:]:
        shutil.copyfile(fleet.file(name_of(0)), fleet.file(name))
    done = timed(fleet, str(BIN / "ci-migrate"), "fleet", "status")
    again = timed(fleet, str(BIN / "ci-migrate"), "fleet", "run")
    fleet.project.write("tenants.txt", f"one sqlite:///data/{name_of(0)}.db\n")
    start, start_used = timed(fleet, str(BIN / "ci-migrate"), "fleet", "status")
    for what, (clock, processors) in {
        "fleet status, all but one behind": (seconds, used),
        "fleet status, all at head": done,
        "fleet run, all at head": again,
    }.items():
        each, each_used = 1000 * (clock - start) / files, 1000 * (processors - start_used) / files
        print(
            f"{what}: {files:,} files in {clock:.1f} s ({processors:.1f} s of processors), start {start:.1f} s: "
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


def on_postgresql(folder: Path, count: int, processes: int) -> None:
    """Two revisions on each of `count` databases, by the fleet and by the shell."""
    from fleet_servers import server_fleet, sql_at

    from benchmarks.measuring import postgresql

    found = {}
    with postgresql() as url:
        for name in ("canary", "alembic"):
            sql_at(url, f"create database {name}")
            with server_fleet(folder / name, url.set(database=name), count) as fleet:
                fleet.project.revision("r3", "r2", 'op.create_index("by_name", "users", ["name"])')
                if name == "canary":
                    fleet.set(
                        f'scratch = "server"\nfleet-processes = {processes}\nfleet-dry-run = "canary"\n'
                    )
                    found[name] = timed(fleet, str(BIN / "ci-migrate"), "fleet", "run")
                else:
                    urls = "".join(
                        f"{fleet.url(one).render_as_string(hide_password=False)}\n" for one in fleet.names
                    )
                    one = ["env", "DATABASE_URL={}", str(BIN / "alembic"), "upgrade", "head"]
                    found[name] = timed(fleet, "xargs", "-P", str(processes), "-I", "{}", *one, stdin=urls)
                assert {fleet.at(n)[0] for n in fleet.names} == {"r3"}
    (ours, used), (theirs, their_used) = found["canary"], found["alembic"]
    print(
        f"fleet run on {count} databases of PostgreSQL, fleet-dry-run = canary: {ours:.1f} s, alembic {theirs:.1f} s: "
        f"{theirs / ours:.2f} times as fast (aim {AIM_TIMES}); of processors {used:.1f} s and {their_used:.1f} s: "
        f"{their_used / used:.2f} times"
    )


def adopt_orphans() -> None:
    """Whatever a command leaves behind is waited for here, so that its seconds are counted."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main() -> int:
    adopt_orphans()
    compile_package()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--databases", type=int, default=60)
    parser.add_argument("--postgresql", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.files:
            look(Path(folder) / "look", arguments.files)
        if arguments.postgresql:
            on_postgresql(Path(folder) / "postgresql", arguments.postgresql, arguments.processes)
        rounds = [
            run(Path(folder) / str(number), arguments.databases, arguments.processes)
            for number in range(arguments.rounds if arguments.databases else 0)
        ]
        for name in ("each", "canary") if rounds else ():
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

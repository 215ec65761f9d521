"""What backups and restores cost: ours against the usual tools, on the same generated database, in one run.

python benchmarks/backup.py [--engine postgresql] [--size 1024] [--rounds 3] [--digests]

Each round runs everything once, in the opposite order of the round before; a figure is the median of the rounds. A
ratio is that of one round's two, so that a machine that is slow for a while does not count. Seconds of processors are
those of all that this program started, the servers too: they depend little on what else the machine does. Needs the
extra `dev`; the servers are throw-away ones of its own.
"""

import argparse
import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from shop import DIALECTS, generate, tables
from sqlalchemy import URL, make_url

HERE = Path(__file__).resolve()
MB = 1 << 20
MEMORY = 150.0
"""The aim for the peak memory of our process, in MB."""

Command = list[str]


# --------------------------------------------------------------------------- one thing that is timed


@dataclass(frozen=True)
class Cost:
    """What it took: seconds by the clock and of processors, bytes that it left (0: not of interest), peak memory in MB
    (0: not measured)."""

    seconds: float
    processors: float
    size: int = 0
    memory: float = 0.0


Work = Callable[[Path], Cost]
"""Gets a folder: for a backup an empty one, for a restore the one that the backup was written into."""


@dataclass(frozen=True)
class Rival:
    """A usual tool: its backup and restore (None: not compared), how many times faster ours is to be (0: no aim)."""

    name: str
    backup: Work | None
    restore: Work | None
    aim: float = 0.0
    no_larger: bool = False  # our backup is to be no larger than its


@dataclass(frozen=True)
class Engine:
    """A database filled with data, our own way to back it up and restore it, and its rivals."""

    name: str
    size: int
    rows: int
    ours: Rival
    rivals: list[Rival]
    url: URL


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def timed(work: Callable[[], object]) -> float:
    os.sync()  # what was written before is not written at our expense
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def processors() -> float:
    """Seconds of this process and all below it: those that have ended are in their parents' sums."""
    found, parents = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = entry.read_text().rpartition(")")[2].split()
            found[int(entry.parent.name)] = sum(map(int, fields[11:15]))
            parents[int(entry.parent.name)] = int(fields[1])
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(found[pid] for pid in ours if pid in found) / os.sysconf("SC_CLK_TCK")


def costs_of(work: Callable[[], object]) -> tuple[float, float]:
    """By the clock, and of processors."""
    before = processors()
    seconds = timed(work)
    return seconds, processors() - before


def run(
    command: Command, *, stdin: IO[bytes] | None = None, environment: dict[str, str] | None = None
) -> None:
    """One program to its end; what it says is shown if it fails."""
    done = subprocess.run(
        command, stdin=stdin, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stdout.decode(errors='replace')[-2000:]}")


def run_into_gzip(command: Command, target: Path) -> None:
    """`command | gzip > target`."""
    with target.open("wb") as file, subprocess.Popen(command, stdout=subprocess.PIPE) as source:
        packing = subprocess.run(["gzip"], stdin=source.stdout, stdout=file, check=False)
    if source.returncode or packing.returncode:
        raise SystemExit(f"{command[0]} | gzip failed with {source.returncode}, {packing.returncode}")


def backup_by(commands: Callable[[Path], Any]) -> Work:
    def work(folder: Path) -> Cost:
        return Cost(*costs_of(lambda: commands(folder)), bytes_in(folder))

    return work


def restore_by(fresh: Callable[[], object], commands: Callable[[Path], Any]) -> Work:
    def work(folder: Path) -> Cost:
        fresh()
        return Cost(*costs_of(lambda: commands(folder)))

    return work


DIGESTS: list[float | None] = [0]
"""The setting `compare-budget` of our backups: 0 leaves the digests of large tables out, which no rival makes."""


def ours(url: URL, fresh_url: URL, fresh: Callable[[], object], rows: int) -> Rival:
    """The catalog's own create and a restore of it, each in a process of its own."""

    def in_child(url: URL, do: str, folder: Path) -> dict[str, Any]:
        os.sync()
        order = {
            "do": do, "url": url.render_as_string(hide_password=False), "folder": str(folder), "budget": DIGESTS[0],
        }  # fmt: skip
        before = processors()
        done = subprocess.run(
            [sys.executable, str(HERE), "--child"],
            input=json.dumps(order).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        told = dict(json.loads(done.stdout))
        return {**told, "processors": processors() - before - told["other"]}

    def backup(folder: Path) -> Cost:
        told = in_child(url, "backup", folder)
        return Cost(told["seconds"], told["processors"], bytes_in(folder), told["memory"])

    def restore(folder: Path) -> Cost:
        fresh()
        told = in_child(fresh_url, "restore", folder)
        if (found := in_child(fresh_url, "count", folder)["rows"]) != rows:
            raise SystemExit(f"The restored database has {found} rows, not {rows}.")
        return Cost(told["seconds"], told["processors"], memory=told["memory"])

    return Rival("ci-migrate", backup, restore)


def child() -> None:
    """In the child: what the order on standard input says. Python's own start does not count, its memory does."""
    from ci_migrate.backups.catalog import Catalog
    from ci_migrate.backups.storage import LocalStorage
    from ci_migrate.databases import BUILT_IN
    from ci_migrate.databases.base import SessionOptions

    order = json.load(sys.stdin)
    url = make_url(order["url"])
    factory = next(f for f in BUILT_IN if url.get_backend_name() in f.backends)
    database = factory.make(url, SessionOptions(compare_budget=order["budget"]))
    catalog = Catalog(LocalStorage(Path(order["folder"])))
    told: dict[str, Any] = {"other": time.process_time()}  # Python's start, and imports
    if order["do"] == "backup":
        told["seconds"] = timed(
            lambda: catalog.create(database, target="bench", version_tables=(), migration_version="0001")
        )
    elif order["do"] == "count":
        told["rows"] = sum(count.rows for count in database.counts(exact=True).values())
    else:
        began = time.perf_counter()
        with catalog.reading(catalog.list()[-1]) as payload:  # verifies the checksums
            database.load(payload)
        told["seconds"] = time.perf_counter() - began
    told["memory"] = peak_memory()
    print(json.dumps(told))


def peak_memory() -> float:
    """Of this process alone, in MB."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (MB if sys.platform == "darwin" else 1024)
    # Linux carries getrusage's figure over from the parent, through exec
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


# --------------------------------------------------------------------------- the engines


def servers() -> Any:
    """The module that starts the tests' servers."""
    tests = HERE.parent.parent / "tests"
    sys.path[:0] = [str(tests), str(tests / "support")]
    import conftest

    return conftest


@contextmanager
def postgresql(place: Path, wanted: int, jobs: int) -> Iterator[Engine]:
    del place  # the server has a folder of its own
    import psycopg

    start = servers()
    settings = ("shared_buffers=256MB", "max_wal_size=4GB", "maintenance_work_mem=128MB")
    with (
        start.run_postgresql(start.postgresql_binaries(), settings=settings) as server,
        psycopg.connect(server.admin_url.render_as_string(hide_password=False), autocommit=True) as admin,
    ):

        def fresh() -> None:
            admin.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
            admin.execute("CREATE DATABASE restored TEMPLATE template0")

        def size() -> int:
            found = admin.execute("SELECT pg_database_size('bench')").fetchone()
            return int(found[0]) if found else 0

        admin.execute("CREATE DATABASE bench TEMPLATE template0")
        with psycopg.connect(
            server.url("bench").render_as_string(hide_password=False), autocommit=True
        ) as filling:
            rows = generate(DIALECTS["postgresql"], lambda s: filling.execute(s.encode()), size, wanted)
            filling.execute("VACUUM ANALYZE")
        address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres"]
        secret = {"PGPASSWORD": start.PASSWORD}

        def dump(*options: str) -> Callable[[Path], None]:
            argv = [program(server.binaries, "pg_dump"), *address, *options]
            return lambda folder: run([*argv, f"--file={folder / 'dump'}", "bench"], environment=secret)

        def restore(folder: Path) -> None:
            argv = [program(server.binaries, "pg_restore"), *address, "-j", str(jobs), "-d", "restored"]
            run([*argv, str(folder / "dump")], environment=secret)

        yield Engine("postgresql", size(), rows, ours(server.url("bench"), server.url("restored"), fresh, rows), [
            Rival("pg_dump -Fc", backup_by(dump("-Fc")), None, aim=4.0, no_larger=True),
            Rival(f"pg_dump -Fd -j{jobs} -Z0", backup_by(dump("-Fd", f"-j{jobs}", "-Z0")), None, aim=1 / 1.5),
            # of a dump that is packed, as ours is
            Rival(f"pg_restore -j{jobs} of -Fc", None, restore_by(fresh, lambda f: restore(f.parent / "pgdumpFc"))),
        ], server.url("bench"))  # fmt: skip


def program(folder: Path, name: str) -> str:
    """The server's own one, else the one on PATH: not every server comes with the clients."""
    return str(folder / name) if (folder / name).exists() else name


@contextmanager
def mariadb(place: Path, wanted: int, jobs: int) -> Iterator[Engine]:
    del place
    import pymysql

    start = servers()
    settings = ("--innodb-buffer-pool-size=256M", "--innodb-log-file-size=256M")
    with (
        start.installed_mariadb() as template,
        start.run_mariadb(template, settings=settings) as server,
        pymysql.connect(
            host="127.0.0.1", port=server.port, user="admin", password=start.PASSWORD
        ) as connection,
    ):
        cursor = connection.cursor()

        def fresh() -> None:
            cursor.execute("DROP DATABASE IF EXISTS restored")
            cursor.execute("CREATE DATABASE restored CHARACTER SET utf8mb4")

        def size() -> int:
            # the files have room in them that nothing uses
            cursor.execute(
                "ANALYZE TABLE " + ", ".join(f"bench.{t.name}" for t in tables(DIALECTS["mariadb"]))
            )
            cursor.execute(
                "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'bench'"
            )
            return int((cursor.fetchone() or (0,))[0])

        def fill(statement: str) -> None:
            cursor.execute(statement)
            connection.commit()

        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        cursor.execute("SET SESSION sql_mode = 'PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'")
        cursor.execute("USE bench")
        rows = generate(DIALECTS["mariadb"], fill, size, wanted)
        address = [f"--socket={server.socket}", "--user=root"]
        dump = [
            "mariadb-dump",
            "--no-defaults",
            *address,
            "--single-transaction",
            "--routines",
            "--events",
            "bench",
        ]
        client = ["mariadb", "--no-defaults", *address, "restored"]

        def load(folder: Path) -> None:
            with subprocess.Popen(
                ["gzip", "-dc", str(folder.parent / "mariadbdumpgzip" / "dump.gz")],
                stdout=subprocess.PIPE,
            ) as unpacking:
                run(client, stdin=unpacking.stdout)

        rivals = [
            Rival("mariadb-dump | gzip", backup_by(lambda f: run_into_gzip(dump, f / "dump.gz")), None, aim=5.0),
            Rival("gzip -dc | mariadb", None, restore_by(fresh, load)),
        ]  # fmt: skip
        if shutil.which("mydumper"):
            mydumper = ["mydumper", *address, f"--threads={jobs}", "--compress", "--database=bench"]
            rivals += [
                Rival(
                    f"mydumper -t{jobs} -c",
                    backup_by(lambda f: run([*mydumper, f"--outputdir={f}"])),
                    None,
                )
            ]
        yield Engine(
            "mariadb",
            size(),
            rows,
            ours(server.url("bench"), server.url("restored"), fresh, rows),
            rivals,
            server.url("bench"),
        )


@contextmanager
def sqlite(place: Path, wanted: int, jobs: int) -> Iterator[Engine]:
    del jobs
    import sqlite3

    file, restored = place / "bench.db", place / "restored.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    rows = generate(DIALECTS["sqlite"], connection.execute, lambda: file.stat().st_size, wanted)
    connection.close()

    def online(folder: Path) -> None:
        copied = folder / "copy.db"
        if shutil.which("sqlite3"):
            run(["sqlite3", str(file), f".backup {copied}"])
        else:
            source, target = sqlite3.connect(file), sqlite3.connect(copied)
            source.backup(target)
            source.close()
            target.close()
        run(["gzip", str(copied)])

    def gunzip(folder: Path) -> None:
        with restored.open("wb") as target:
            subprocess.run(
                ["gzip", "-dc", str(folder.parent / "backupgzip" / "copy.db.gz")], stdout=target, check=True
            )

    def fresh() -> None:
        restored.unlink(missing_ok=True)

    mine = ours(
        URL.create("sqlite", database=str(file)), URL.create("sqlite", database=str(restored)), fresh, rows
    )
    yield Engine("sqlite", file.stat().st_size, rows, mine, [
        Rival(".backup, gzip", backup_by(online), None, aim=12.0),
        Rival("copy of the file", backup_by(lambda f: shutil.copyfile(file, f / "copy.db")),
              restore_by(fresh, lambda f: shutil.copyfile(f / "copy.db", restored))),
        Rival("gzip -dc", None, restore_by(fresh, gunzip)),
    ], URL.create("sqlite", database=str(file)))  # fmt: skip


ENGINES = {"postgresql": postgresql, "mariadb": mariadb, "sqlite": sqlite}


# --------------------------------------------------------------------------- rounds and report


def folder_name(rival: str) -> str:
    return "".join(c for c in rival if c.isalnum())


Costs = dict[tuple[str, str], list[Cost]]
"""By what was done (backup, restore) and by whom; one for each round."""


def measure(engine: Engine, place: Path, rounds: int) -> Costs:
    """Run everything `rounds` times."""
    costs: Costs = {}
    for number in range(rounds):
        both = [engine.ours, *engine.rivals][:: -1 if number % 2 else 1]
        for what in ("backup", "restore"):
            for rival in both:
                work = rival.backup if what == "backup" else rival.restore
                if work is None:
                    continue
                folder = place / folder_name(rival.name)
                if what == "backup":
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir()
                costs.setdefault((what, rival.name), []).append(work(folder))
        print(f"  round {number + 1} of {rounds} done", file=sys.stderr)
    return costs


def show(engine: Engine, costs: Costs) -> None:
    """One line for each figure."""
    mine = {what: costs[what, engine.ours.name] for what in ("backup", "restore")}
    seconds = {what: statistics.median(c.seconds for c in mine[what]) for what in mine}
    packed = statistics.median(c.size for c in mine["backup"])
    print(
        f"\n{engine.name}: {engine.size / MB:,.0f} MB, {engine.rows:,} rows; our backup has {packed / MB:,.1f} MB"
    )
    head = ("", "theirs s", "ours s", "theirs/ours", "of processors", "aim", "size theirs/ours", "")
    line = "  {:<34} {:>9} {:>8} {:>22} {:>22} {:>7} {:>17}  {}".format
    print(line(*head))
    for rival in engine.rivals:
        for what in ("backup", "restore"):
            if (what, rival.name) not in costs:
                continue
            theirs = costs[what, rival.name]
            ratios = [t.seconds / o.seconds for t, o in zip(theirs, mine[what], strict=True)]
            used = [t.processors / o.processors for t, o in zip(theirs, mine[what], strict=True)]
            ratio = statistics.median(ratios)
            larger = statistics.median(t.size for t in theirs) / packed if what == "backup" else 0.0
            reached = ratio >= rival.aim and (larger >= 1 or not rival.no_larger)
            print(line(
                f"{what}: {rival.name}", f"{statistics.median(c.seconds for c in theirs):.2f}", f"{seconds[what]:.2f}",
                f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                f"{statistics.median(used):.2f} ({min(used):.2f} to {max(used):.2f})",
                f">={rival.aim:.2f}" if rival.aim else "-",
                f"{larger:.2f}{' >=1' if rival.no_larger else ''}" if larger else "-",
                ("reached" if reached else "MISSED") if rival.aim else "",
            ))  # fmt: skip
    for what, each in mine.items():
        peak = max(c.memory for c in each)
        verdict = "reached" if peak < MEMORY else "MISSED"
        used = statistics.median(c.processors for c in each)
        memory = f"peak memory of our process {peak:.0f} MB (aim: below {MEMORY:.0f})"
        print(f"  {what}: {used:.1f} s of processors; {memory}  {verdict}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", choices=ENGINES, action="append", help="several times; all by default")
    parser.add_argument("--size", type=int, default=1024, help="MB of each database")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--digests", action="store_true", help="our backups digest all rows, as they do by default"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child()
        return
    if given.digests:
        DIGESTS[0] = None
    jobs = min(os.cpu_count() or 1, 4)  # as many as ours has by default
    for name in given.engine or ENGINES:
        with tempfile.TemporaryDirectory(prefix="ci-migrate-bench-") as folder:
            place = Path(folder)
            print(f"{name}: filling {given.size} MB", file=sys.stderr)
            with ENGINES[name](place, given.size * MB, jobs) as engine:
                show(engine, measure(engine, place, given.rounds))
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"\nmachine: {os.cpu_count()} cores, load {load}, Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
